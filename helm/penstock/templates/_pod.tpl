{{/* What trainer, replicas and the topics job share, so that their pods differ only where they must. */}}

{{- define "penstock.pod.common" -}}
automountServiceAccountToken: false
{{- /* Service links would add variables that begin with PENSTOCK_, as configuration does. */}}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- range $key, $value := .Values.podSecurityContext }}
  {{- if not (kindIs "invalid" $value) }}
  {{ $key }}: {{ int64 $value }}
  {{- end }}
  {{- end }}
  {{- if .Values.podSecurityContext.fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "penstock.pod.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "penstock.container.common" -}}
image: {{ include "penstock.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
workingDir: {{ include "penstock.path.work" . }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "penstock.path.work" -}}/var/lib/penstock{{- end }}
{{- define "penstock.path.config" -}}/etc/penstock/penstock.toml{{- end }}
{{- define "penstock.path.secrets" -}}/etc/penstock-secrets{{- end }}

{{/* The environment that operators chose: secrets by reference, then their own. */}}
{{- define "penstock.env" -}}
{{- range .Values.secrets }}
{{- if .asFile }}
- name: {{ .env }}__FILE
  value: {{ include "penstock.path.secrets" $ }}/{{ .env }}
{{- else }}
- name: {{ .env }}
  valueFrom:
    secretKeyRef:
      name: {{ .secretName }}
      key: {{ .secretKey | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.volumeMounts" -}}
- name: config
  mountPath: {{ include "penstock.path.config" . | dir }}
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if include "penstock.secretFiles" . }}
- name: secrets
  mountPath: {{ include "penstock.path.secrets" . }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Call as (list . name-of-config-map). */}}
{{- define "penstock.volumes" -}}
{{- $root := index . 0 -}}
- name: config
  configMap:
    name: {{ index . 1 }}
- name: tmp
  emptyDir: {}
{{- with include "penstock.secretFiles" $root }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with $root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.secretFiles" -}}
{{- range .Values.secrets }}
{{- if .asFile }}
- secret:
    name: {{ .secretName }}
    items:
      - key: {{ .secretKey | quote }}
        path: {{ .env }}
{{- end }}
{{- end }}
{{- end }}

{{/* penstock.toml. Not by toToml: Helm reads every number of a values file as a float, and 256.0 is no integer. */}}
{{- define "penstock.config.toml" -}}
{{- if .Values.configToml }}
{{- .Values.configToml }}
{{- else }}
{{- range $section, $keys := .Values.config }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ include "penstock.config.key" $key }} = {{ include "penstock.config.value" $value }}
{{- end }}
{{ end }}
{{- end }}
{{- end }}

{{- define "penstock.config.key" -}}
{{- regexMatch "^[A-Za-z0-9_-]+$" . | ternary . (toRawJson .) }}
{{- end }}

{{/* One TOML value; tables inside a section are written inline. A JSON string is a TOML string. */}}
{{- define "penstock.config.value" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list }}
{{- range $key, $value := . }}
{{- $pairs = append $pairs (printf "%s = %s" (include "penstock.config.key" $key) (include "penstock.config.value" $value)) }}
{{- end }}
{{- printf "{ %s }" (join ", " $pairs) }}
{{- else if kindIs "slice" . -}}
{{- $items := list }}
{{- range . }}
{{- $items = append $items (include "penstock.config.value" .) }}
{{- end }}
{{- printf "[%s]" (join ", " $items) }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) (lt . 9e15) (gt . -9e15) -}}
{{- int64 . }}
{{- else -}}
{{- toRawJson . }}
{{- end }}
{{- end }}

{{/* The configuration as JSON, whichever way it was given. */}}
{{- define "penstock.config.tree" -}}
{{- if .Values.configToml }}
{{- fromToml .Values.configToml | toJson }}
{{- else }}
{{- toJson .Values.config }}
{{- end }}
{{- end }}

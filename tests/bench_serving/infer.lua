-- One POST over and over, its body from the file BODY; at the end one line of JSON.
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.method, wrk.path, wrk.body = "POST", os.getenv("REQUEST_PATH"), file:read("*a")
file:close()
if os.getenv("JSON_BYTES") then
  wrk.headers["Content-Type"] = "application/octet-stream"
  wrk.headers["Inference-Header-Content-Length"] = os.getenv("JSON_BYTES")
else
  wrk.headers["Content-Type"] = "application/json"
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "errors": %d, "p50_ms": %f, "p99_ms": %f, "longest_ms": %f}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end

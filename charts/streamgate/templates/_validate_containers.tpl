{{/* Of a gateway's containers: the root and the gateway's name. */}}
{{- define "streamgate.validate.containers" -}}
{{- $gateway := include "streamgate.gateway.values" . | fromYaml -}}
{{- $at := printf "gateways.%s" .name -}}
{{- include "streamgate.validate.extraEnv" (dict "at" $at "values" $gateway "variables" (list "RUST_LOG")) -}}
{{- include "streamgate.validate.extraEnv" (dict "at" (printf "%s.sync" $at) "values" $gateway.sync "variables" (list "POD_NAME" "RUST_LOG")) -}}
{{- include "streamgate.validate.gateway.volumes" (dict "at" $at "values" $gateway) -}}
{{- include "streamgate.validate.configSize" (dict "at" $at "values" $gateway) -}}
{{- include "streamgate.validate.deniedUpstreams" (dict "at" $at "ranges" $gateway.deniedUpstreams) -}}
{{- end }}

{{/* Further environment variables: where they are, the values that have them, and those that the chart itself sets, which the API
     server refuses to have twice. */}}
{{- define "streamgate.validate.extraEnv" -}}
{{- range .values.extraEnv -}}
{{- if has .name $.variables -}}
{{- fail (printf "%s.extraEnv: found `%s`; wanted no variable that the chart sets: %s" $.at .name (join ", " $.variables)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The files are in memory, and count to config-sync, which takes 17 MiB itself with 11,300 objects. A full volume is an error
     that is told; no memory left is config-sync's end, and again, and each time no traffic for the pod. */}}
{{- define "streamgate.validate.configSize" -}}
{{- $limits := .values.sync.resources.limits | default dict -}}
{{- $limit := include "streamgate.bytes" ($limits.memory | default "") -}}
{{- $size := include "streamgate.bytes" .values.configSize -}}
{{- if and $limit $size (lt (sub (int64 $limit) (int64 $size)) 33554432) -}}
{{- fail (printf "%s.configSize: found %v, and a memory limit of %v in sync.resources; wanted the limit to be at least 32Mi above" .at .values.configSize $limits.memory) -}}
{{- end -}}
{{- end }}

{{/* Ranges of IPv4; those of IPv6 the programs judge when they start. */}}
{{- define "streamgate.validate.deniedUpstreams" -}}
{{- range .ranges -}}
{{- if regexMatch "^[0-9]+([.][0-9]+){3}/([0-9]|[12][0-9]|3[0-2])$" . -}}
{{- $parts := splitList "/" . -}}
{{- $address := 0 -}}
{{- range first $parts | splitList "." -}}{{- $address = add (mul $address 256) (atoi .) -}}{{- end -}}
{{- $size := 1 -}}
{{- range until (sub 32 (last $parts | atoi) | int) -}}{{- $size = mul $size 2 -}}{{- end -}}
{{- if mod $address $size -}}
{{- fail (printf "%s.deniedUpstreams: found `%s`; wanted an address that is zero after its first %s bits" $.at . (last $parts)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

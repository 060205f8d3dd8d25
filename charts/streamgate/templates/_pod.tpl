{{/* Where pods run, and what names they find there: `values` of the operator or of a gateway, and the `selector` of these pods. */}}
{{- define "streamgate.pod.placement" -}}
{{- $selector := .selector | fromYaml -}}
affinity:
{{- if .values.affinity }}
  {{- toYaml .values.affinity | nindent 2 }}
{{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- toYaml $selector | nindent 14 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
  {{- $own := dict "labelSelector" (dict "matchLabels" $selector) }}
  - {{- toYaml (merge (deepCopy .) $own) | nindent 4 }}
{{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The bytes of a quantity such as `64Mi`; nothing for one that is written in another way. */}}
{{- define "streamgate.bytes" -}}
{{- $text := kindIs "string" . | ternary . (printf "%.0f" (float64 .)) -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?([kMGT]|[KMGT]i)?$" $text -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $factors (regexFind "[a-zA-Z]*$" $text)) | int64 -}}
{{- end -}}
{{- end }}

{{/* A listener's port in its container. */}}
{{- define "streamgate.listener.containerPort" -}}
{{- .containerPort | default .port | int -}}
{{- end }}

{{/* `[::]:9901` of `bindAddress: "::"` and a port. */}}
{{- define "streamgate.address" -}}
{{- $address := .root.Values.bindAddress -}}
{{- if contains ":" $address }}{{ $address = printf "[%s]" $address }}{{ end -}}
{{- printf "%s:%d" $address (int .port) -}}
{{- end }}

{{/* The whole seconds of a duration such as `1m30s`, rounded up. */}}
{{- define "streamgate.seconds" -}}
{{- $milliseconds := 0 -}}
{{- range regexFindAll "[0-9]+(ms|h|m|s)" . -1 -}}
{{- $number := regexFind "^[0-9]+" . | atoi -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $milliseconds = add $milliseconds (mul $number (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit)) -}}
{{- end -}}
{{- div (add $milliseconds 999) 1000 -}}
{{- end }}

{{/* A port of a pod is called as its listener where that is a name for a port: at most 15 characters, a letter among them. */}}
{{- define "streamgate.listener.portName" -}}
{{- if and (le (len .name) 15) (regexMatch "[a-z]" .name) (not (contains "--" .name)) (not (has .name (list "admin" "sync-admin"))) -}}
{{- .name -}}
{{- else -}}
{{- printf "listener-%s" (include "streamgate.listener.containerPort" .) -}}
{{- end -}}
{{- end }}

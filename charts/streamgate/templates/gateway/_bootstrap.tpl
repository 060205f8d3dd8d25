{{/* The bootstrap file of a gateway's proxies: the root, the gateway's name and its values. What the operator denies by itself
     in endpoints (loopback, link-local) the proxy denies in what names resolve to. */}}
{{- define "streamgate.gateway.bootstrap" -}}
gateway: {{ .name | quote }}
configDir: /run/streamgate/config
statusDir: /run/streamgate/status
listeners:
{{- range .values.listeners }}
  - name: {{ .name | quote }}
    address: {{ include "streamgate.address" (dict "root" $.root "port" (include "streamgate.listener.containerPort" .)) | quote }}
    protocol: {{ .protocol }}
{{- end }}
admin: {{ include "streamgate.address" (dict "root" .root "port" 9901) | quote }}
{{- with .values.workers }}
workers: {{ int . }}
{{- end }}
clientHelloTimeout: {{ .values.clientHelloTimeout }}
drainDelay: {{ .values.drainDelay }}
drainTime: {{ .values.drainTime }}
logFormat: {{ .values.logFormat }}
deniedUpstreams:
  - 0.0.0.0/8
  - 127.0.0.0/8
  - 169.254.0.0/16
  - "::/128"
  - "::1/128"
  - "fe80::/10"
  {{- with .values.deniedUpstreams }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

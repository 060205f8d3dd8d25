{{/* The operator's settings. */}}
{{- define "streamgate.operator.settings" -}}
namespace: {{ .Release.Namespace | quote }}
{{- with .Values.watchNamespaces }}
watchNamespaces:
  {{- toYaml . | nindent 2 }}
{{- end }}
leaseName: {{ include "streamgate.operator.name" . }}
leaseDuration: {{ .Values.operator.leaseDuration }}
ticketKeyRotation: {{ .Values.operator.ticketKeyRotation }}
admin: {{ include "streamgate.address" (dict "root" . "port" 9902) | quote }}
gateways:
{{- range $name := keys .Values.gateways | sortAlpha }}
{{- $gateway := include "streamgate.gateway.values" (dict "root" $ "name" $name) | fromYaml }}
  - name: {{ $name | quote }}
    service: {namespace: {{ $.Release.Namespace | quote }}, name: {{ include "streamgate.gateway.name" $name }}}
    listeners:
    {{- range $gateway.listeners }}
      - {name: {{ .name | quote }}, protocol: {{ .protocol }}}
    {{- end }}
    {{- with include "streamgate.operator.namespaces" $gateway.allowedNamespaces }}
    allowedNamespaces:
      {{- . | nindent 6 }}
    {{- end }}
    {{- if kindIs "slice" $gateway.domains }}
    domains:
      {{- toYaml $gateway.domains | nindent 6 }}
    {{- end }}
    {{- with include "streamgate.operator.namespaces" $gateway.plaintextNamespaces }}
    plaintextNamespaces:
      {{- . | nindent 6 }}
    {{- end }}
    allowExternalUpstreams: {{ $gateway.allowExternalUpstreams }}
    {{- with $gateway.deniedUpstreams }}
    deniedUpstreams:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end }}

{{/* A list of names, or labels of namespaces; nothing where all are meant. No name at all is nobody. */}}
{{- define "streamgate.operator.namespaces" -}}
{{- if kindIs "slice" . -}}
names:
  {{- toYaml . | nindent 2 }}
{{- else if . -}}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* What a definition has besides its name. */}}
{{- define "streamgate.crds.metadata" -}}
labels:
  {{- include "streamgate.labels" . | nindent 2 }}
{{- if .Values.crds.keep }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}

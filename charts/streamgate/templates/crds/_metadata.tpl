{{/* What a definition has besides its name. */}}
{{- define "streamgate.crds.metadata" -}}
{{- $keep := .Values.crds.keep | ternary (dict "helm.sh/resource-policy" "keep") dict -}}
{{- include "streamgate.metadata" (dict "root" . "annotations" $keep) -}}
{{- end }}

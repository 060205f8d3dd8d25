{{/* Labels and annotations of an object: the root and, where it has some, its own `labels` and `annotations`, which count and not
     those of all objects. */}}
{{- define "streamgate.metadata" -}}
labels:
  {{- toYaml (merge (dict) (.labels | default dict) (include "streamgate.labels" .root | fromYaml)) | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The same of the operator's objects. */}}
{{- define "streamgate.operator.metadata" -}}
{{- $labels := merge (include "streamgate.operator.selector" .root | fromYaml) (.labels | default dict) -}}
{{- include "streamgate.metadata" (dict "root" .root "labels" $labels "annotations" .annotations) -}}
{{- end }}

{{/* The same of a gateway's objects, with the gateway's `name`. */}}
{{- define "streamgate.gateway.metadata" -}}
{{- $labels := merge (include "streamgate.gateway.selector" . | fromYaml) (.labels | default dict) -}}
{{- include "streamgate.metadata" (dict "root" .root "labels" $labels "annotations" .annotations) -}}
{{- end }}

{{/* By what pods are selected is the chart's. Any other label a user may set, also one that the chart has. */}}

{{/* Labels of any object. */}}
{{- define "streamgate.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" "streamgate"
  "app.kubernetes.io/managed-by" .Release.Service -}}
{{- toYaml (merge (include "streamgate.selector" . | fromYaml) .Values.commonLabels $own) }}
{{- end }}

{{/* What all pods of the release are known by. */}}
{{- define "streamgate.selector" -}}
app.kubernetes.io/name: streamgate
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* What the operator's pods are known by. */}}
{{- define "streamgate.operator.selector" -}}
{{ include "streamgate.selector" . }}
app.kubernetes.io/component: operator
{{- end }}

{{/* What the proxies of all gateways are known by. */}}
{{- define "streamgate.proxies.selector" -}}
{{ include "streamgate.selector" . }}
app.kubernetes.io/component: proxy
{{- end }}

{{/* What a gateway's pods are known by: the root and the gateway's name. */}}
{{- define "streamgate.gateway.selector" -}}
{{ include "streamgate.proxies.selector" .root }}
streamgate.dev/gateway: {{ .name | quote }}
{{- end }}

{{/* Labels of pods. The versions of the chart and of the program are not among them: a pod that is as before is not replaced. */}}
{{- define "streamgate.operator.podLabels" -}}
{{- toYaml (merge (include "streamgate.operator.selector" . | fromYaml) .Values.operator.podLabels .Values.commonLabels) }}
{{- end }}

{{- define "streamgate.gateway.podLabels" -}}
{{- toYaml (merge (include "streamgate.gateway.selector" . | fromYaml) .values.podLabels .root.Values.commonLabels) }}
{{- end }}

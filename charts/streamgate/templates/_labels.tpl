{{/* Labels of any object. */}}
{{- define "streamgate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: streamgate
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: streamgate
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the operator's pods are known by. */}}
{{- define "streamgate.operator.selector" -}}
app.kubernetes.io/name: streamgate
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{/* What a gateway's pods are known by: the root and the gateway's name. */}}
{{- define "streamgate.gateway.selector" -}}
app.kubernetes.io/name: streamgate
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: proxy
streamgate.dev/gateway: {{ .name | quote }}
{{- end }}

{{/* Labels of the operator's objects. */}}
{{- define "streamgate.operator.labels" -}}
{{ include "streamgate.labels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels of a gateway's objects: the root and the gateway's name. */}}
{{- define "streamgate.gateway.labels" -}}
{{ include "streamgate.labels" .root }}
app.kubernetes.io/component: proxy
streamgate.dev/gateway: {{ .name | quote }}
{{- end }}

{{/* Labels of pods. The versions of the chart and of the program are not among them: a pod that is as before is not replaced. */}}
{{- define "streamgate.operator.podLabels" -}}
{{- toYaml (merge (include "streamgate.operator.selector" . | fromYaml) .Values.operator.podLabels .Values.commonLabels) }}
{{- end }}

{{- define "streamgate.gateway.podLabels" -}}
{{- toYaml (merge (include "streamgate.gateway.selector" . | fromYaml) .values.podLabels .root.Values.commonLabels) }}
{{- end }}

{{/* Which pods a Deployment has, and how it is rolled: `values` of the operator or of a gateway, and the `selector`. */}}
{{- define "streamgate.deployment.pods" -}}
selector:
  matchLabels:
    {{- .selector | nindent 4 }}
{{- with .values.strategy }}
{{- $isRolling := eq (.type | default "RollingUpdate") "RollingUpdate" }}
strategy:
  {{- toYaml ($isRolling | ternary . (omit . "rollingUpdate")) | nindent 2 }}
{{- end }}
{{- with .values.minReadySeconds }}
minReadySeconds: {{ int . }}
{{- end }}
{{- if not (kindIs "invalid" .values.revisionHistoryLimit) }}
revisionHistoryLimit: {{ int .values.revisionHistoryLimit }}
{{- end }}
{{- end }}

{{/* How many pods evictions leave or take, by `podDisruptionBudget` of the operator or of a gateway. The API takes one of the two. */}}
{{- define "streamgate.disruptionBudget" -}}
{{- if kindIs "invalid" .minAvailable -}}
maxUnavailable: {{ .maxUnavailable }}
{{- else -}}
minAvailable: {{ .minAvailable }}
{{- end -}}
{{- end }}

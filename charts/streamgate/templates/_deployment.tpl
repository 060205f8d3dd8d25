{{/* Which pods a Deployment has, and how it takes on new ones: `values` of the operator or of a gateway, and the `selector`. */}}
{{- define "streamgate.deployment.pods" -}}
selector:
  matchLabels:
    {{- .selector | nindent 4 }}
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

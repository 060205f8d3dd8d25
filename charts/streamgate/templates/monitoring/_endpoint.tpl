{{/* How a port is read. Pods of a gateway carry its name. */}}
{{- define "streamgate.podMonitor.endpoint" -}}
path: /metrics
{{- with .Values.podMonitor.interval }}
interval: {{ . | quote }}
{{- end }}
{{- with .Values.podMonitor.scrapeTimeout }}
scrapeTimeout: {{ . | quote }}
{{- end }}
relabelings:
  - sourceLabels: [__meta_kubernetes_pod_label_streamgate_dev_gateway]
    targetLabel: gateway
{{- with .Values.podMonitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

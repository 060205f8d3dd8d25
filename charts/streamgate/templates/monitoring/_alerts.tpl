{{/* The alerts of a file, as they are for this release: the root and the file's text. */}}
{{- define "streamgate.alerts" -}}
{{- $rules := list -}}
{{- range .text | replace "NAMESPACE" .root.Release.Namespace | fromYamlArray -}}
{{- if not (has .alert $.root.Values.prometheusRule.disabled) -}}
{{- $runbook := dict "runbook_url" (printf "%s#%s" $.root.Values.prometheusRule.runbookUrl (lower .alert)) -}}
{{- $labels := merge .labels $.root.Values.prometheusRule.alertLabels -}}
{{- $rules = append $rules (merge (dict "labels" $labels "annotations" (merge .annotations $runbook)) .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end }}

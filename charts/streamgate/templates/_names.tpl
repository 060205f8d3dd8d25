{{/* The operator's objects. */}}
{{- define "streamgate.operator.name" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $own := .Values.nameOverride | default "streamgate" -}}
{{- $name = contains $own .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $own) -}}
{{- end -}}
{{- printf "%s-operator" ($name | replace "." "-" | trunc 54 | trimSuffix "-") -}}
{{- end }}

{{/* The operator's objects outside of the release's namespace, where another release of this name may have some too. */}}
{{- define "streamgate.operator.clusterName" -}}
{{- printf "%s-%s" (include "streamgate.operator.name" .) .Release.Namespace -}}
{{- end }}

{{/* The operator's ServiceAccount. */}}
{{- define "streamgate.operator.account" -}}
{{- .Values.operator.serviceAccount.name | default (include "streamgate.operator.name" .) -}}
{{- end }}

{{/* The ServiceAccount of a gateway's proxies: the root and the gateway's name. */}}
{{- define "streamgate.gateway.account" -}}
{{- $account := (include "streamgate.gateway.values" . | fromYaml).serviceAccount -}}
{{- $account.name | default (include "streamgate.gateway.name" .name) -}}
{{- end }}

{{/* All objects of a gateway, and its namespace: a gateway's name is unique in the cluster, and so is this. */}}
{{- define "streamgate.gateway.name" -}}
{{- printf "streamgate-%s" . -}}
{{- end }}

{{/* What a gateway says itself: the root and its name. */}}
{{- define "streamgate.gateway.own" -}}
{{- toYaml (get .root.Values.gateways .name | default dict) -}}
{{- end }}

{{/* What a gateway has: its own values over the defaults. Half of one choice of namespaces and half of another is none, and of a
     budget's two words it has one. */}}
{{- define "streamgate.gateway.values" -}}
{{- $own := include "streamgate.gateway.own" . | fromYaml -}}
{{- $values := mergeOverwrite (deepCopy .root.Values.gatewayDefaults) (deepCopy $own) -}}
{{- range list "allowedNamespaces" "plaintextNamespaces" "strategy" -}}
{{- if hasKey $own . -}}
{{- $_ := set $values . (get $own .) -}}
{{- end -}}
{{- end -}}
{{- $budget := $own.podDisruptionBudget | default dict -}}
{{- if and (hasKey $budget "maxUnavailable") (not (hasKey $budget "minAvailable")) -}}
{{- $_ := unset $values.podDisruptionBudget "minAvailable" -}}
{{- end -}}
{{- toYaml $values -}}
{{- end }}

{{- define "streamgate.image" -}}
{{- $name := .Values.image.repository -}}
{{- with .Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

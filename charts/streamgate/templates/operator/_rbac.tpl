{{/* Binds the role of this kind and name to the operator; a binding has its role's name. */}}
{{- define "streamgate.operator.binding" -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "streamgate.operator.account" .root | quote }}
    namespace: {{ .root.Release.Namespace | quote }}
{{- end }}

{{/* What the operator may do where tenants are. */}}
{{- define "streamgate.operator.tenantRules" -}}
- apiGroups: [streamgate.dev]
  resources: [streamroutes, tlssnis]
  verbs: [list, watch]
- apiGroups: [streamgate.dev]
  resources: [streamroutes/status, tlssnis/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# Watched by their metadata; got where an object refers to them.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* Which namespaces a gateway's owner means by their labels. */}}
{{- define "streamgate.operator.namespaceRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}

{{/* Whether a gateway chooses namespaces by label. */}}
{{- define "streamgate.operator.choosesByLabel" -}}
{{- range $name := keys .Values.gateways }}
{{- $gateway := include "streamgate.gateway.values" (dict "root" $ "name" $name) | fromYaml }}
{{- if or (and $gateway.allowedNamespaces (kindIs "map" $gateway.allowedNamespaces)) (and $gateway.plaintextNamespaces (kindIs "map" $gateway.plaintextNamespaces)) }}true{{ end }}
{{- end }}
{{- end }}

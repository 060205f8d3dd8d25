{{/* How many proxies there are to be: the root, the gateway's name and its values. With autoscaling as many as there are: were they
     left out where the release before had them, Kubernetes would take that as one. A Deployment that is new has none, nor has
     one whose cluster can't be asked; the autoscaler then begins at its minReplicas by itself. Where `replicas` is null somebody
     else says so. */}}
{{- define "streamgate.gateway.replicas" -}}
{{- if not .values.autoscaling.enabled -}}
{{- if not (kindIs "invalid" .values.replicas) -}}{{- int .values.replicas -}}{{- end -}}
{{- else -}}
{{- with lookup "apps/v1" "Deployment" .root.Release.Namespace (include "streamgate.gateway.name" .name) -}}
{{- int .spec.replicas -}}
{{- end -}}
{{- end -}}
{{- end }}

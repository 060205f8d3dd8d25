{{/* Of a gateway: the root and its name. Its namespace is nobody else's, for its proxies may read all Secrets there. */}}
{{- define "streamgate.validate.name" -}}
{{- $namespace := include "streamgate.gateway.name" .name -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$" .name) -}}
{{- fail (printf "gateways: found the name `%s`; wanted at most 52 lower-case letters, digits and `-`, beginning and ending with a letter or digit" .name) -}}
{{- end -}}
{{- if or (eq $namespace .root.Release.Namespace) (has $namespace .root.Values.watchNamespaces) -}}
{{- fail (printf "gateways.%s: found the namespace `%s` in use; wanted another name of the gateway, or another namespace for the release and in watchNamespaces, for that one is to hold nothing but what the gateway's proxies read" .name $namespace) -}}
{{- end -}}
{{- if eq $namespace (include "streamgate.operator.name" .root) -}}
{{- fail (printf "gateways.%s: found the name that the operator's objects have, `%s`; wanted another name of the gateway, or another fullnameOverride" .name $namespace) -}}
{{- end -}}
{{- end }}

{{/* Its account is nobody else's either: with the operator's the proxies would have the operator's rights, with another gateway's
     they could read what that one has. */}}
{{- define "streamgate.validate.account" -}}
{{- $at := printf "gateways.%s.serviceAccount" .name -}}
{{- $gateway := include "streamgate.gateway.values" . | fromYaml -}}
{{- include "streamgate.validate.existingAccount" (dict "at" $at "account" $gateway.serviceAccount) -}}
{{- $account := include "streamgate.gateway.account" . -}}
{{- if eq $account (include "streamgate.operator.account" .root) -}}
{{- fail (printf "%s: found the operator's, `%s`; wanted another, for a proxy must not have the operator's rights" $at $account) -}}
{{- end -}}
{{- range $other := without (keys .root.Values.gateways | sortAlpha) .name -}}
{{- if eq $account (include "streamgate.gateway.account" (dict "root" $.root "name" $other)) -}}
{{- fail (printf "%s: found `%s`, which gateways.%s has too; wanted one of its own, for with it one may read all Secrets of the gateway's namespace" $at $account $other) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Where no ServiceAccount is made: where that is said, and what. */}}
{{- define "streamgate.validate.existingAccount" -}}
{{- if not (or .account.create .account.name) -}}
{{- fail (printf "%s: found create: false, and no name; wanted the name of a ServiceAccount that is there" .at) -}}
{{- end -}}
{{- end }}

{{- define "streamgate.validate.listeners" -}}
{{- $gateway := include "streamgate.gateway.values" . | fromYaml -}}
{{- $at := printf "gateways.%s" .name -}}
{{- if not $gateway.listeners -}}
{{- fail (printf "%s.listeners: found none; wanted one or more, such as {name: mqtts, protocol: MQTTS, port: 8883}" $at) -}}
{{- end -}}
{{- $names := list -}}
{{- $ports := list -}}
{{- $containerPorts := list "9901" "9903" -}}
{{- range $gateway.listeners -}}
{{- $containerPort := include "streamgate.listener.containerPort" . -}}
{{- if has .name $names -}}
{{- fail (printf "%s.listeners: found `%s` a second time; wanted a name of its own for each listener" $at .name) -}}
{{- end -}}
{{- if has (int .port) $ports -}}
{{- fail (printf "%s.listeners: found the port %d a second time; wanted one of its own for each listener" $at (int .port)) -}}
{{- end -}}
{{- if lt (int $containerPort) 1024 -}}
{{- fail (printf "%s.listeners: found the port %s in the container of `%s`; wanted a containerPort from 1024 on, for the proxy is not root" $at $containerPort .name) -}}
{{- end -}}
{{- if has $containerPort $containerPorts -}}
{{- fail (printf "%s.listeners: found the containerPort %s of `%s` in use; wanted one that no other listener has, and not 9901 or 9903, which are the admin ports" $at $containerPort .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- $ports = append $ports (int .port) -}}
{{- $containerPorts = append $containerPorts $containerPort -}}
{{- end -}}
{{- end }}

{{/* Whether an autoscaler could say how many. Without a request it is the limit that Kubernetes takes as one. */}}
{{- define "streamgate.validate.autoscaling" -}}
{{- $gateway := include "streamgate.gateway.values" . | fromYaml -}}
{{- if $gateway.autoscaling.enabled -}}
{{- if gt (int $gateway.autoscaling.minReplicas) (int $gateway.autoscaling.maxReplicas) -}}
{{- fail (printf "gateways.%s.autoscaling: found minReplicas above maxReplicas; wanted at most as many" .name) -}}
{{- end -}}
{{- $resources := $gateway.resources | default dict -}}
{{- if not (or ($resources.requests | default dict).cpu ($resources.limits | default dict).cpu) -}}
{{- fail (printf "gateways.%s.autoscaling: found no resources.requests.cpu; wanted one, for targetCPUUtilizationPercentage is in percent of it" .name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Whether a Service of its type has all that the gateway says of it. What it has from gatewayDefaults is for others too, and
     left out. */}}
{{- define "streamgate.validate.service" -}}
{{- $type := (include "streamgate.gateway.values" . | fromYaml).service.type -}}
{{- $own := include "streamgate.gateway.own" . | fromYaml -}}
{{- $service := $own.service | default dict -}}
{{- range $word := list "loadBalancerClass" "loadBalancerIP" "loadBalancerSourceRanges" -}}
{{- if and (get $service $word) (ne $type "LoadBalancer") -}}
{{- fail (printf "gateways.%s.service: found %s, and type %s; wanted type LoadBalancer, or no %s" $.name $word $type $word) -}}
{{- end -}}
{{- end -}}
{{- if and $service.externalTrafficPolicy (eq $type "ClusterIP") -}}
{{- fail (printf "gateways.%s.service: found externalTrafficPolicy, and type ClusterIP; wanted type NodePort or LoadBalancer, or no externalTrafficPolicy" .name) -}}
{{- end -}}
{{- range $own.listeners -}}
{{- if and .nodePort (eq $type "ClusterIP") -}}
{{- fail (printf "gateways.%s.listeners: found a nodePort of `%s`, and service.type ClusterIP; wanted service.type NodePort or LoadBalancer" $.name .name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Whether the Service's addresses lead to something. */}}
{{- define "streamgate.validate.families" -}}
{{- $service := (include "streamgate.gateway.values" . | fromYaml).service -}}
{{- $asks := or (has "IPv6" ($service.ipFamilies | default list)) (eq "RequireDualStack" ($service.ipFamilyPolicy | default "")) -}}
{{- if and $asks (not (contains ":" .root.Values.bindAddress)) -}}
{{- fail (printf "gateways.%s.service: found IPv6, and the bindAddress %s; wanted bindAddress `::`, which is for both" .name .root.Values.bindAddress) -}}
{{- end -}}
{{- end }}

{{/* Whether the gateway is of this release, as far as the cluster can be asked. */}}
{{- define "streamgate.validate.owner" -}}
{{- $namespace := include "streamgate.gateway.name" .name -}}
{{- with lookup "v1" "Namespace" "" $namespace -}}
{{- $owner := include "streamgate.owner" . -}}
{{- if not $owner -}}
{{- fail (printf "gateways.%s: found a namespace `%s` that no release made; wanted to make it, for it is to hold nothing but what the gateway's proxies read: delete it, take another name for the gateway, or, where it was made for this release, give it the label app.kubernetes.io/managed-by=Helm and the annotations meta.helm.sh/release-name=%s and meta.helm.sh/release-namespace=%s" $.name $namespace $.root.Release.Name $.root.Release.Namespace) -}}
{{- else if ne $owner (include "streamgate.release" $.root) -}}
{{- fail (printf "gateways.%s: found a gateway of this name, of the release %s; wanted another name, for it is unique in the cluster" $.name $owner) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* `namespace/name` of the release that an object is of; empty for one that no release made. */}}
{{- define "streamgate.owner" -}}
{{- $annotations := .metadata.annotations | default dict -}}
{{- with get $annotations "meta.helm.sh/release-name" -}}
{{- printf "%s/%s" (get $annotations "meta.helm.sh/release-namespace") . -}}
{{- end -}}
{{- end }}

{{- define "streamgate.release" -}}
{{- printf "%s/%s" .Release.Namespace .Release.Name -}}
{{- end }}

{{/* All objects of `helm test`, which puts a device through a gateway: they are there while it runs. A release may begin with a
     digit, and a Service may not. */}}
{{- define "streamgate.test.name" -}}
{{- printf "helm-test-%s" (include "streamgate.operator.name" . | trimSuffix "-operator" | trunc 53 | trimSuffix "-") -}}
{{- end }}

{{- define "streamgate.test.namespace" -}}
{{- .Values.test.namespace | default .Release.Namespace -}}
{{- end }}

{{/* The gateway's name and the port of its first listener with TLS: of the one that is to be tested, or of the first that has such
     a listener. Nothing where there is none, and then there is no test. */}}
{{- define "streamgate.test.target" -}}
{{- $found := dict -}}
{{- range $name := keys .Values.gateways | sortAlpha -}}
{{- $gateway := include "streamgate.gateway.values" (dict "root" $ "name" $name) | fromYaml -}}
{{- range $gateway.listeners -}}
{{- if and (not $found) (eq .protocol "MQTTS") (eq $name ($.Values.test.gateway | default $name)) -}}
{{- $found = dict "gateway" $name "listener" .name "port" (int .port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $found }}{{ toYaml $found }}{{ end -}}
{{- end }}

{{/* The name that the device asks for. */}}
{{- define "streamgate.test.serverName" -}}
{{- $target := include "streamgate.test.target" . | fromYaml -}}
{{- .Values.test.serverName | default (printf "%s.%s.svc" (include "streamgate.gateway.name" $target.gateway) .Release.Namespace) -}}
{{- end }}

{{/* What the test's pod is known by. */}}
{{- define "streamgate.test.selector" -}}
{{ include "streamgate.selector" . }}
app.kubernetes.io/component: test
{{- end }}

{{/* Of an object of the test; the pod comes last. */}}
{{- define "streamgate.test.metadata" -}}
namespace: {{ include "streamgate.test.namespace" .root | quote }}
{{- $hook := dict
  "helm.sh/hook" "test"
  "helm.sh/hook-weight" .weight
  "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded,hook-failed"
  "helm.sh/hook-output-log-policy" "hook-failed" }}
{{ include "streamgate.metadata" (dict "root" .root "labels" (include "streamgate.test.selector" .root | fromYaml) "annotations" $hook) }}
{{- end }}

{{/* Further volumes take none of the chart's: with those a proxy could write its own configuration, or have config-sync's token. */}}

{{/* Of the operator: the root. Kubernetes mounts its token itself. */}}
{{- define "streamgate.validate.operator.volumes" -}}
{{- $values := .Values.operator -}}
{{- include "streamgate.validate.extraVolumes" (dict "at" "operator" "volumes" $values.extraVolumes "taken" (list "settings")) -}}
{{- $paths := list "/etc/streamgate" "/var/run/secrets/kubernetes.io/serviceaccount" -}}
{{- include "streamgate.validate.extraVolumeMounts" (dict "at" "operator" "mounts" $values.extraVolumeMounts "volumes" $values.extraVolumes "taken" $paths) -}}
{{- end }}

{{/* Of a gateway: where it is, and its values. */}}
{{- define "streamgate.validate.gateway.volumes" -}}
{{- $volumes := .values.extraVolumes -}}
{{- include "streamgate.validate.extraVolumes" (dict "at" .at "volumes" $volumes "taken" (list "bootstrap" "config" "status" "token")) -}}
{{- $shared := list "/run/streamgate/config" "/run/streamgate/status" -}}
{{- $proxy := append $shared "/etc/streamgate" -}}
{{- include "streamgate.validate.extraVolumeMounts" (dict "at" .at "mounts" .values.extraVolumeMounts "volumes" $volumes "taken" $proxy) -}}
{{- $sync := append $shared "/var/run/secrets/kubernetes.io/serviceaccount" -}}
{{- include "streamgate.validate.extraVolumeMounts" (dict "at" (printf "%s.sync" .at) "mounts" .values.sync.extraVolumeMounts "volumes" $volumes "taken" $sync) -}}
{{- end }}

{{/* Where they are, the volumes, and the names that the chart's have. */}}
{{- define "streamgate.validate.extraVolumes" -}}
{{- range .volumes -}}
{{- if has .name $.taken -}}
{{- fail (printf "%s.extraVolumes: found `%s`; wanted a name of its own, for the chart has volumes of these: %s" $.at .name (join ", " $.taken)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Where they are, the mounts, the volumes that may be mounted, and the paths at which the chart mounts its own. */}}
{{- define "streamgate.validate.extraVolumeMounts" -}}
{{- $names := list -}}
{{- range .volumes }}{{ $names = append $names .name }}{{ end -}}
{{- range .mounts -}}
{{- if not (has .name $names) -}}
{{- fail (printf "%s.extraVolumeMounts: found the volume `%s`; wanted one of extraVolumes" $.at .name) -}}
{{- end -}}
{{- $mount := . -}}
{{- $path := printf "%s/" (clean .mountPath | trimSuffix "/") -}}
{{- range $.taken -}}
{{- $taken := printf "%s/" . -}}
{{- if or (hasPrefix $taken $path) (hasPrefix $path $taken) -}}
{{- fail (printf "%s.extraVolumeMounts: found the path `%s`; wanted one apart from `%s`, where the chart mounts a volume" $.at $mount.mountPath .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The containers of a gateway's pods: the root, the gateway's name and its values. */}}

{{/* It starts before the proxy and ends after it, and the proxy starts once the configuration is there. */}}
{{- define "streamgate.gateway.sync" -}}
- name: config-sync
  image: {{ include "streamgate.image" .root | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  restartPolicy: Always
  command: [/streamgate-sync]
  args:
    - --gateway={{ .name }}
    - --config-dir=/run/streamgate/config
    - --status-dir=/run/streamgate/status
    - --admin={{ include "streamgate.address" (dict "root" .root "port" 9903) }}
    - --log-format={{ .values.logFormat }}
  env:
    - name: POD_NAME
      valueFrom:
        fieldRef: {apiVersion: v1, fieldPath: metadata.name}
    - {name: RUST_LOG, value: {{ .values.sync.logLevel | quote }}}
    {{- with .values.sync.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .values.sync.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - {name: sync-admin, containerPort: 9903, protocol: TCP}
  # No readinessProbe: its readiness is the pod's as well, and while the API server is away the proxy is to get traffic with what
  # it has. For the same reason the pod gets none from when this container ends until it has started again. It starts late
  # rather than not at all, so the time is long.
  startupProbe:
    httpGet: {path: /readyz, port: sync-admin}
    periodSeconds: 1
    failureThreshold: 600
  livenessProbe:
    httpGet: {path: /livez, port: sync-admin}
    periodSeconds: 10
  resources:
    {{- toYaml .values.sync.resources | nindent 4 }}
  securityContext:
    {{- toYaml .root.Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /run/streamgate/config}
    - {name: status, mountPath: /run/streamgate/status}
    - {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    {{- with .values.sync.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "streamgate.gateway.proxy" -}}
- name: proxy
  image: {{ include "streamgate.image" .root | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [/streamgate-proxy]
  args:
    - run
    - --bootstrap=/etc/streamgate/proxy.yaml
  env:
    - {name: RUST_LOG, value: {{ .values.logLevel | quote }}}
    {{- with .values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .values.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- range .values.listeners }}
    - {name: {{ include "streamgate.listener.portName" . | quote }}, containerPort: {{ include "streamgate.listener.containerPort" . }}, protocol: TCP}
    {{- end }}
    - {name: admin, containerPort: 9901, protocol: TCP}
  livenessProbe:
    httpGet: {path: /livez, port: admin}
    periodSeconds: 10
    failureThreshold: 6
  # It fails from SIGTERM on, as a load balancer's own check sees at once. To kube-proxy, which takes no new pod's connections to
  # one that stops, it is still serving until `drainDelay` is over: where it was the last of its node, somebody must take them.
  readinessProbe:
    httpGet: {path: /readyz, port: admin}
    periodSeconds: 2
    failureThreshold: {{ add 2 (div (include "streamgate.seconds" .values.drainDelay) 2) }}
  resources:
    {{- toYaml .values.resources | nindent 4 }}
  securityContext:
    {{- toYaml .root.Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    - {name: bootstrap, mountPath: /etc/streamgate, readOnly: true}
    - {name: config, mountPath: /run/streamgate/config, readOnly: true}
    - {name: status, mountPath: /run/streamgate/status}
    {{- with .values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

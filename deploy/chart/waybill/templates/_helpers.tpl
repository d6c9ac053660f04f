{{- define "waybill.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- /* of a dict: root, part */ -}}
{{- define "waybill.selector" -}}
app.kubernetes.io/name: waybill
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "waybill.labels" -}}
{{ include "waybill.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
waybill.dev/organization: {{ .root.Values.organization.name | quote }}
{{- end }}

{{- define "waybill.image" -}}
{{- $values := index .root.Values .part -}}
{{- $name := printf "%s/waybill-%s" .root.Values.image.registry .part -}}
{{- if $values.digest }}{{ $name }}@{{ $values.digest }}{{ else }}{{ $name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "waybill.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "waybill.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* What every pod has, but for its containers and volumes. No environment of Services: a variable that begins
with CORE_ or ORDERER_ would be taken for configuration. */ -}}
{{- define "waybill.pod" -}}
{{- $values := index .root.Values .part -}}
serviceAccountName: {{ include "waybill.name" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "waybill.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "waybill.annotations" -}}
{{- $values := index .root.Values .part -}}
{{- with $values.checksum }}
annotations: {waybill.dev/files: {{ . | quote }}}
{{- end }}
{{- end }}

{{- /* The part's files below /etc/waybill, and a place for temporary ones. */ -}}
{{- define "waybill.volumes" -}}
{{- $values := index .root.Values .part -}}
- name: organization
  secret:
    secretName: {{ $values.secret | default (printf "%s-%s" (include "waybill.name" .root) .part) }}
    defaultMode: 0440
    items: {{- toYaml $values.files | nindent 6 }}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- end }}

{{- define "waybill.mounts" -}}
- {name: organization, mountPath: /etc/waybill, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "waybill.claim" -}}
{{- $values := index .root.Values .part -}}
- metadata:
    name: data
    labels: {{- include "waybill.selector" . | nindent 6 }}
  spec:
    accessModes: [{{ $values.storage.accessMode }}]
    {{- with $values.storage.class }}
    storageClassName: {{ . }}
    {{- end }}
    resources: {requests: {storage: {{ $values.storage.size }}}}
{{- end }}

{{- /* of a dict: path, port, scheme; starting may take minutes: a peer recovers its ledger first */ -}}
{{- define "waybill.probes" -}}
startupProbe:
  httpGet: {path: {{ .alive }}, port: {{ .port }}, scheme: HTTPS}
  periodSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet: {path: {{ .alive }}, port: {{ .port }}, scheme: HTTPS}
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: {{ .ready }}, port: {{ .port }}, scheme: HTTPS}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

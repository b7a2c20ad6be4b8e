{{- define "arnkeeper.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{/* The release's name if it already contains the chart's, so that release "arnkeeper" is not "arnkeeper-arnkeeper". */}}
{{- define "arnkeeper.fullname" -}}
{{- $name := include "arnkeeper.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "arnkeeper.serviceAccountName" -}}
{{- default (include "arnkeeper.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* What never changes in the life of a release: a Deployment's selector is immutable. */}}
{{- define "arnkeeper.selectorLabels" -}}
app.kubernetes.io/name: {{ include "arnkeeper.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "arnkeeper.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "arnkeeper.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "arnkeeper.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The ServiceAccount, as the subject of a binding. */}}
{{- define "arnkeeper.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "arnkeeper.serviceAccountName" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* What ARNs may be written into, as rules of a role. */}}
{{- define "arnkeeper.publish" -}}
{{- range (.Values.publish).kinds }}
  # ARNs, by spec.publish of a Certificate.
  - apiGroups: {{ toJson .apiGroups }}
    resources: {{ toJson .resources }}
    verbs: [get, patch]
{{- end }}
{{- end -}}

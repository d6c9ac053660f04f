package intake

import "strings"

// secretHere stands where an operator pastes the connector's secret.
const secretHere = "<the secret>"

// Settings is what an operator pastes into the registry, so that it notifies
// the connector; gateway is the address before /hooks/ as the registry sees it.
// The secret itself is not in it. The guides say the same, with the reasons.
func Settings(c Connector, gateway string) string {
	f, ok := formatOf(c.Kind)
	if !ok {
		return ""
	}
	address := strings.TrimSuffix(gateway, "/") + Prefix + c.Name
	if f.secret&inURL != 0 && len(c.Secrets) > 0 {
		address += "/" + secretHere
	}
	text := map[string]string{
		KindDistribution: distributionSettings, KindGitLab: gitlabSettings, KindHarbor: harborSettings, KindZot: zotSettings,
		KindQuay: quaySettings, KindGHCR: ghcrSettings, KindDockerHub: dockerHubSettings, KindArtifactory: artifactorySettings,
		KindNexus: nexusSettings, KindECR: ecrSettings, KindACR: acrSettings, KindEventGrid: eventGridSettings, KindGAR: garSettings,
		KindGitea: giteaSettings, KindAlibaba: alibabaSettings,
		KindGeneric: genericSettings,
	}[c.Kind]
	return strings.NewReplacer("ADDRESS", address, "SECRET", secretHere, "AUDIENCE", c.OIDC.Audience).Replace(strings.TrimPrefix(text, "\n"))
}

// The settings by kind. Every line stands in the kind's guide as well.
const (
	distributionSettings = `
notifications:
  endpoints:
    - name: waybill
      url: ADDRESS
      headers:
        Authorization: ["Bearer SECRET"]
      timeout: 5s
      threshold: 10
      backoff: 5s
`
	gitlabSettings = `
registry['notifications'] = [
  {
    'name' => 'waybill',
    'url' => 'ADDRESS',
    'timeout' => '5s',
    'maxretries' => 10,
    'backoff' => '5s',
    'headers' => { "Authorization" => ["Bearer SECRET"] }
  }
]
`
	harborSettings = `
Notify Type: http
Event Type: Artifact pushed, Artifact pulled, Artifact deleted
Endpoint URL: ADDRESS
Auth Header: Bearer SECRET
`
	zotSettings = `
  "extensions": {
    "events": {
      "enable": true,
      "sinks": [
        {
          "type": "http",
          "address": "ADDRESS",
          "timeout": "5s",
          "credentials": { "token": "SECRET" }
        }
      ]
    }
  }
`
	quaySettings = `
When this event occurs: Push to Repository
Then issue a notification: Webhook POST
Webhook URL: ADDRESS
POST JSON body template: leave empty
`
	ghcrSettings = `
Payload URL: ADDRESS
Content type: application/json (the other one gets 415)
Secret: the secret
SSL verification: enabled
Events: Registry packages only
`
	dockerHubSettings = `
ADDRESS
`
	artifactorySettings = `
URL: ADDRESS
Events: Docker: Tag was pushed, Tag was deleted, Tag was promoted
Secret token: the secret
Use secret for payload signing: on
`
	nexusSettings = `
Event Types: component (not asset as well: both report a push)
URL: ADDRESS
Secret Key: the secret
`
	ecrSettings = `
aws events create-connection --name waybill --authorization-type API_KEY \
  --auth-parameters 'ApiKeyAuthParameters={ApiKeyName=X-Waybill-Secret,ApiKeyValue=SECRET}'
aws events create-api-destination --name waybill --connection-arn <connection> --http-method POST \
  --invocation-endpoint ADDRESS
aws events put-rule --name waybill-ecr \
  --event-pattern '{"source":["aws.ecr"],"detail-type":["ECR Image Action","ECR Referrer Action","ECR Replication Action","ECR Pull Through Cache Action"]}'
`
	acrSettings = `
az acr webhook create --registry acme --name waybill --actions push delete \
  --uri ADDRESS --headers 'Authorization=Bearer SECRET'
`
	eventGridSettings = `
az eventgrid event-subscription create --name waybill \
  --source-resource-id $(az acr show --name acme --query id -o tsv) \
  --included-event-types Microsoft.ContainerRegistry.ImagePushed Microsoft.ContainerRegistry.ImageDeleted \
  --endpoint ADDRESS \
  --event-delivery-schema eventgridschema --max-delivery-attempts 30 --event-ttl 1440 \
  --deadletter-endpoint <storage container>
`
	garSettings = `
gcloud pubsub subscriptions create waybill --project p1 --topic gcr \
  --push-endpoint ADDRESS \
  --push-auth-service-account waybill-push@p1.iam.gserviceaccount.com \
  --push-auth-token-audience AUDIENCE \
  --ack-deadline 30 --message-retention-duration 7d --expiration-period never
`
	giteaSettings = `
Target URL: ADDRESS
HTTP method: POST
POST content type: application/json
Secret: the secret
Trigger on: Custom events: Package
`
	alibabaSettings = `
Trigger URL: ADDRESS
Trigger: All
`
	genericSettings = `
code=$(printf '%s.%s' "$now" "$body" | openssl dgst -sha256 -hmac "$(cat ci.secret)" -r | cut -d' ' -f1)
curl -fsS ADDRESS -H 'Content-Type: application/json' \
  -H "X-Waybill-Timestamp: $now" -H "X-Waybill-Signature: sha256=$code" --data-binary "$body"
`
)

package provision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"text/template"

	"github.com/waybill-dev/waybill/network"
)

// gatewayConfig is the file as an operator first meets it: what the network
// decided is filled in, what they have to decide stands beside it, commented.
const gatewayConfig = `# The gateway of {{.Client.Org}}. Unknown keys are errors; say
#   waybill-gateway check-config --config {{.Paths.Config}}
# to see everything that is wrong at once. Secrets are named by file, never written here.

org: {{q .Client.Org}}
mspid: {{q .Client.MSPID}}

# The databases: queue.db must not be lost, index.db can be rebuilt with reindex.
data_dir: {{q .DataDir}}
# Several gateways of one organisation share them on PostgreSQL instead (queue and
# index below); each keeps a data_dir of its own.

# Signs what the registries reported. Needs the role "gateway" on the ledger.
identity:
  cert: {{q .Identity.Cert}}
  key: {{q .Identity.Key}}

# The organisation's own peer.
peer:
  address: {{q .Client.PeerAddress}}
  tls_ca: {{q .Client.PeerTLSCA}}
channel: {{q .Paths.Channel}}
# Where that channel goes on from another one, waybill org refound says which:
# after:
#   channel: ""
#   height: 0                        # how many blocks it has
#   header: ""                       # the hash of the last one's header
chaincode: {{q .Paths.Chaincode}}

# gRPC and REST on one port. Callers present a member's certificate.
api:
  listen: {{q .Paths.APIAddress}}
  tls_cert: {{q .Paths.TLSCert}}
  tls_key: {{q .Paths.TLSKey}}
  anonymous_reads: false

# Where registries send their notifications: /hooks/<connector>. Plain HTTP, so
# on this machine only; put a proxy with TLS before it for any other.
hooks:
  listen: {{q .Paths.IntakeAddress}}
  # tls_cert: /path/to/hooks.crt     # with TLS it may listen on any address
  # tls_key: /path/to/hooks.key
  # max_body: 1048576                # bytes of a notification

metrics:
  listen: {{q .Paths.MetricsAddress}}

# What waits to be recorded. At a bound senders are told to come again. The defaults:
# queue:
#   max_pending: 1000000
#   min_free_bytes: 268435456        # of disk, that stay free
#   connector_share: 100             # percent of max_pending that one connector may hold
#   lanes: 8                         # recorded side by side; change it while nothing waits
#   remember: 0s                     # how long the id of a recorded event stays known; 0s: for ever
#   url_file: ""                     # a file that holds a URL, postgres://...: gateways that share it are replicas
#   lane_ttl: 5s                     # after which a silent replica is replaced
# index:
#   url_file: ""                     # likewise, of what can be rebuilt

# What it does by itself. The defaults:
# collect: true                      # evidence of signatures and attestations pushed beside an image
# auto_release: true                 # promotions whose last rule comes to be met
# witness: []                        # other organisations' registries to look at as well: "*.partner.example"
# sweep:                             # the organisation's own registries, compared with the ledger
#   off: false                       # true: only when somebody asks (waybill sweep)
#   every: 24h                       # of the registries that are read back
#   rate: 20                         # requests a second, to each; a quarter of it where nobody asked
#   grace: 2m                        # how long a difference must last

# Who may notify. That this organisation owns the registry is agreed on, by a majority of:
#   waybill registry add 127.0.0.1:5000 --owner {{.Client.MSPID}} --as ORG/admin
connectors: []
# connectors:
#   - name: main                     # notified at /hooks/main
#     kind: distribution
#     host: 127.0.0.1:5000           # one of the registries below
#     # The registry sends "Authorization: Bearer SECRET", 16 characters or more. Two files while it is changed.
#     secret_files: [/path/to/secret]
#     repositories: []               # patterns; none: all
#     # Only some kinds know the rest; docs/guides says which, and waybill connector test tries it out.
#     own_actor: ""                  # the account this gateway uses there: what it does is not recorded
#     origins: []                    # subscriptions or sources that a payload may name
#     prefixes: []                   # storage repositories: {name: docker-local, value: team}
#     type_prefix: ""                # of zot's events
#     oidc:                          # instead of a secret, where the cloud signs tokens
#       issuers: []
#       audience: ""
#       claims: []                   # {name: email, value: push@project.example}
#       keys_file: ""

# How each registry is read back. Nothing else is ever dialled.
registries: []
# registries:
#   - host: 127.0.0.1:5000         # as in an image's name
#     insecure: true                 # plain HTTP
#     allow_private: true            # an address of this machine or a private network
#     username: ""
#     password_file: ""
#     ca_file: ""                    # certificates to trust instead of the system's
#     timeout: 15s                   # of one request
#     read_back: true                # false: pushes are recorded by digest alone, and cannot be released
#     pulls: ""                      # channel, private or off: docs/guides/pulls.md
#     keep_clients: 0s               # when the clients of private pulls are purged; 0s: never by itself
#     repositories: []               # what a sweep looks at; none: the catalogue
#     token_host: ""                 # where its tokens are issued, where that is another host
#     blob_hosts: []                 # where its blobs are; they are sent no credentials
`

// GatewayConfig returns an organisation's gateway configuration: everything
// the network decided, and no registry yet.
func GatewayConfig(client network.Client, paths network.GatewayPaths) ([]byte, error) {
	identity, ok := client.People["gateway"]
	if !ok {
		return nil, fmt.Errorf("organisation %s has no person named gateway", client.Org)
	}
	// A JSON string is a YAML string, whatever a path holds.
	quote := func(s string) (string, error) {
		b, err := json.Marshal(s)
		return string(b), err
	}
	t, err := template.New("gateway").Funcs(template.FuncMap{"q": quote}).Parse(gatewayConfig)
	if err != nil {
		return nil, fmt.Errorf("gateway configuration: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"Client": client, "Paths": paths, "Identity": identity, "DataDir": filepath.Join(paths.Dir, "data"),
	})
	if err != nil {
		return nil, fmt.Errorf("gateway configuration of %s: %w", client.Org, err)
	}
	return b.Bytes(), nil
}

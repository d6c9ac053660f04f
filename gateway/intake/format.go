package intake

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// format is how one kind of registry speaks: how its sender proves itself, and
// how what it says is read.
type format struct {
	kind string
	// parse reads a body whose sender is known. It is pure but for what it asks
	// message.dedup. Either all of the body is good, or the error is Invalid
	// and names the field, Forbidden where the sender may not say it, or
	// Conflict where it said something else under the same id.
	parse func(m message) (batch, error)
	types func(mediaType string) bool

	secret place      // where a shared secret may stand; 0: it is not presented
	sign   *signature // how bodies are signed instead
	tokens bool       // the sender may present an OIDC token

	wide      bool                     // events carry whole manifests
	origins   bool                     // payloads name their origin
	check     func(c *Connector) error // what else its configuration must say
	actors    bool                     // payloads name an actor
	prefixes  bool                     // payloads name a storage repository …
	mapped    bool                     // … and there is no default for where it is pulled from
	typed     bool                     // types of events have a prefix of the operator's choice
	handshake bool                     // answers the OPTIONS handshake of CloudEvents
	weak      string
}

// formats is the list of kinds, in the order of the guides.
func formats() []format {
	return []format{
		distributionFormat(KindDistribution), distributionFormat(KindGitLab),
		harborFormat(), zotFormat(), quayFormat(), ghcrFormat(), dockerHubFormat(), artifactoryFormat(), nexusFormat(),
		ecrFormat(), acrFormat(), eventGridFormat(), garFormat(), genericFormat(),
	}
}

// Kinds lists the kinds of registry that a Connector may have.
func Kinds() []string {
	var out []string
	for _, f := range formats() {
		out = append(out, f.kind)
	}
	return out
}

func formatOf(kind string) (format, bool) {
	all := formats()
	i := slices.IndexFunc(all, func(f format) bool { return f.kind == kind })
	if i < 0 {
		return format{}, false
	}
	return all[i], true
}

// message is an authenticated request, as a parser sees it.
type message struct {
	raw       []byte
	header    http.Header
	mediaType string
	now       time.Time // of receipt, used where the sender gives no time
	connector *Connector
	dedup     *dedup
}

// id is the content key of an event of this connector.
func (m message) id(parts ...string) provenance.EventID {
	return provenance.NewEventID(m.connector.Kind, m.connector.Name, parts...)
}

// origin refuses a sender that the connector does not list.
func (m message) origin(field, name string) error {
	if len(m.connector.Origins) == 0 || slices.Contains(m.connector.Origins, name) {
		return nil
	}
	return provenance.Errorf(provenance.Forbidden, "%s: %q is not one of this connector's origins", field, clipText(name))
}

// Reasons for acknowledging an event without recording it.
const (
	ignoredBlob      = "blob"      // layers and configs; the manifest names them
	ignoredMount     = "mount"     // a blob again
	ignoredHead      = "head"      // somebody asked whether an image is there
	ignoredOwn       = "own"       // our read-back or write-back
	ignoredUnknown   = "unknown"   // an event we do not know, about no repository
	ignoredOff       = "off"       // a pull, and the registry's pulls are not recorded
	ignoredOther     = "other"     // an event we know, about no image: scans, quotas, tests
	ignoredElsewhere = "elsewhere" // an event of another registry that shares the channel
)

// batch is what one request says.
type batch struct {
	events    []provenance.Event
	bodies    [][sha256.Size]byte // of the same index in events
	clients   []client            // of the same index in events
	ignored   map[string]int      // by reason
	reply     any                 // where set, the answer's body: a handshake
	retryKeys []string            // keys of dedup that a lost answer would bring again
}

func newBatch() batch { return batch{ignored: map[string]int{}} }

func ignoring(reason string) batch { return batch{ignored: map[string]int{reason: 1}} }

// add adds an event, unless it is the echo of our own work.
func (b *batch) add(m message, c report, body [sha256.Size]byte) error {
	event, err := c.event(m.connector.Kind, m.now)
	if err != nil {
		return err
	}
	if m.connector.ownTraffic(event, c.agent) {
		b.ignored[ignoredOwn]++
		return nil
	}
	var by client
	if event.Action == provenance.Pull {
		if m.connector.Pulls == PullsOff {
			b.ignored[ignoredOff]++
			return nil
		}
		by = client{address: addressOf(c.address), agent: provenance.CleanText(c.agent, provenance.MaxText), index: c.index, children: c.children}
		switch m.connector.Pulls {
		case PullsPrivate:
			// The mark stays with the event: what was taken as private never becomes public, whatever the setting is by then.
			event.Blind = provenance.Unblinded()
			fallthrough
		case PullsChannel:
			event.Address, event.UserAgent = by.address, by.agent
		}
	}
	b.append(event, body, by)
	return nil
}

// addUnknown keeps an authenticated event that has no meaning here as seen, if
// it is about a repository at all and its names are names. It is never refused: the sender would send
// it again for ever, or give up on the connector.
func (b *batch) addUnknown(m message, c report, body [sha256.Size]byte) {
	c.action = provenance.Unknown
	event, err := c.event(m.connector.Kind, m.now)
	if err != nil {
		b.ignored[ignoredUnknown]++
		return
	}
	b.append(event, body, client{})
}

func (b *batch) append(event provenance.Event, body [sha256.Size]byte, by client) {
	b.events, b.bodies, b.clients = append(b.events, event), append(b.bodies, body), append(b.clients, by)
}

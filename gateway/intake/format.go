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
	// message.dedup. An error is about the whole of the body: see ignore and
	// foreign; Forbidden where this sender may not say it; anything else, as
	// Invalid, which names the field, or Conflict, where it said something else
	// under the same id, has the body kept as unusable. Where a body holds
	// several events, batch.outcome takes the error of each.
	parse func(m message) (batch, error)
	types func(mediaType string) bool

	secret place      // where a shared secret may stand; 0: it is not presented
	sign   *signature // how bodies are signed instead
	tokens bool       // the sender may present an OIDC token

	wide      bool                     // events carry whole manifests, or what they list
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
		ecrFormat(), acrFormat(), eventGridFormat(), garFormat(), giteaFormat(), alibabaFormat(), genericFormat(),
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
	one       []byte // of raw, the event in hand; nil: all of it
	header    http.Header
	mediaType string
	now       time.Time // of receipt, used where the sender gives no time
	connector *Connector
	allows    func(provenance.Repository) bool // whether the sender may speak of it; nil: of all
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
	ignoredOutside   = "outside"   // of a repository that is none of the connector's
	ignoredForeign   = "foreign"   // an event of no registry of this kind, among others that are
)

// batch is what one request says.
type batch struct {
	events    []provenance.Event
	bodies    [][sha256.Size]byte // of the same index in events
	clients   []client            // of the same index in events
	raws      [][]byte            // of the same index in events: as they came
	unusable  []unusable
	ignored   map[string]int // by reason
	reply     any            // where set, the answer's body: a handshake
	retryKeys []string       // keys of dedup that a lost answer would bring again
}

func newBatch() batch { return batch{ignored: map[string]int{}} }

func ignoring(reason string) batch { return batch{ignored: map[string]int{reason: 1}} }

// add adds an event, or counts it as ignored where it is the echo of our own
// work, or of a repository that the sender may not speak of: channels that carry every repository of a
// registry, or of several, have those as well.
func (b *batch) add(m message, c report, body [sha256.Size]byte) error {
	if c.action == provenance.Pull && m.connector.Pulls == PullsOff {
		b.ignored[ignoredOff]++ // good or not: nothing of a pull is kept
		return nil
	}
	if m.outside(c) {
		b.ignored[ignoredOutside]++
		return nil
	}
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
	b.append(m, event, body, by)
	return nil
}

// addUnknown keeps an authenticated event that has no meaning here as seen, if
// it is about a repository at all and its names are names.
func (b *batch) addUnknown(m message, c report, body [sha256.Size]byte) {
	c.action = provenance.Unknown
	if m.outside(c) {
		b.ignored[ignoredOutside]++
		return
	}
	event, err := c.event(m.connector.Kind, m.now)
	if err != nil {
		b.ignored[ignoredUnknown]++
		return
	}
	b.append(m, event, body, client{})
}

func (b *batch) append(m message, event provenance.Event, body [sha256.Size]byte, by client) {
	b.events, b.bodies = append(b.events, event), append(b.bodies, body)
	b.clients, b.raws = append(b.clients, by), append(b.raws, m.text())
}

// outside tells whether a report is of a repository that is not the
// connector's, whatever else may be wrong with it.
func (m message) outside(c report) bool {
	repo, err := provenance.ParseRepository(c.repository.text)
	return err == nil && m.allows != nil && !m.allows(repo)
}

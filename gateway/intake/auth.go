package intake

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// SecretHeader is the other place for a connector's secret, for senders that
// can set a header but not "Authorization: Bearer …".
const SecretHeader = "X-Waybill-Secret"

// Limits of a secret, in bytes. A shorter one could be guessed over the network.
const (
	minSecret = 16
	maxSecret = 1024
)

// place is where a sender may put the shared secret.
type place uint8

const (
	// inHeader: Authorization: Bearer, or SecretHeader.
	inHeader place = 1 << iota
	// inBasic: the password of Authorization: Basic, for senders that know no other.
	inBasic
	// inURL: the last part of the path, for senders that set no header at all.
	// Addresses end up in logs of proxies and in settings that many may read.
	inURL
)

// secrets are the hashes of the one or two secrets of a connector. Two, so
// that an operator can rotate: add the new one, change the sender, drop the old.
type secrets [][sha256.Size]byte

// admit tells whether a request carries one of the secrets, exactly once, in a
// place that its kind may use. The comparison is over hashes and visits every
// secret, so its time tells neither which secret was near nor how long it is.
// Such a secret says nothing about the body: who can read it can forge events,
// hence TLS or a private network.
func (s secrets) admit(r *http.Request, inPath string, where place) bool {
	var presented []string
	if where&inHeader != 0 {
		presented = append(presented, r.Header.Values(SecretHeader)...)
	}
	if inPath != "" {
		presented = append(presented, inPath)
	}
	for _, v := range r.Header.Values("Authorization") {
		scheme, token, ok := strings.Cut(v, " ")
		switch {
		case where&inHeader != 0 && ok && strings.EqualFold(scheme, "Bearer"):
		case where&inBasic != 0 && ok && strings.EqualFold(scheme, "Basic"):
			_, token, ok = r.BasicAuth()
			if !ok {
				return false
			}
		default:
			return false
		}
		presented = append(presented, token)
	}
	if len(presented) != 1 || len(presented[0]) > maxSecret {
		return false
	}
	sum := sha256.Sum256([]byte(presented[0]))
	found := 0
	for i := range s {
		found |= subtle.ConstantTimeCompare(sum[:], s[i][:])
	}
	return found == 1
}

// Weak says in what way a connector's authentication is weak, for an operator
// who reads the gateway's status; "" where nothing is known against it.
func (c Connector) Weak() string {
	f, _ := formatOf(c.Kind)
	if f.tokens && c.OIDC.configured() && len(c.Secrets) == 0 {
		return "" // signed by the cloud's own keys, short-lived, for this audience only
	}
	return f.weak
}

// Proof says how a connector's senders prove themselves.
func (c Connector) Proof() string {
	f, _ := formatOf(c.Kind)
	var ways []string
	if f.tokens && c.OIDC.configured() {
		ways = append(ways, "OIDC token")
	}
	switch {
	case len(c.Secrets) == 0:
	case f.sign != nil && f.sign.stamped:
		ways = append(ways, "HMAC over time and body")
	case f.sign != nil:
		ways = append(ways, "HMAC over the body")
	case f.secret&inURL != 0 && f.secret&inHeader == 0:
		ways = append(ways, "secret in the address")
	case f.secret&inURL != 0:
		ways = append(ways, "secret in a header or the address")
	default:
		ways = append(ways, "secret in a header")
	}
	return strings.Join(ways, ", or ")
}

// Texts of Weak that several kinds share.
const (
	weakHeader = "the secret travels in a header and does not cover the body: whoever reads it can forge events; keep TLS on, or the network private"
	weakURL    = "the sender signs nothing and sets no header, so the secret stands in the address, which proxies and settings pages show; events are only hints that are looked up at the registry"
)

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

// secrets are the hashes of the one or two secrets of a connector. Two, so
// that an operator can rotate: add the new one, change the sender, drop the old.
type secrets [][sha256.Size]byte

// admit tells whether a request carries one of the secrets, exactly once. The
// comparison is over hashes and visits every secret, so its time tells neither
// which secret was near nor how long it is. A header secret says nothing about
// the body: who can read it can forge events, hence TLS or a private network.
func (s secrets) admit(r *http.Request) bool {
	presented := r.Header.Values(SecretHeader)
	for _, v := range r.Header.Values("Authorization") {
		scheme, token, ok := strings.Cut(v, " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			return false
		}
		presented = append(presented[:len(presented):len(presented)], token)
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

package intake

import (
	"net/http"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// eventGridOrigin is what Azure Event Grid calls itself in the handshake.
const eventGridOrigin = "eventgrid.azure.net"

// handshake answers the handshake of CloudEvents (HTTP 1.1 Web Hooks for Event
// Delivery, section 4): OPTIONS with WebHook-Request-Origin. A sender that
// presents tokens presents none here, so Event Grid is believed by its name
// then: what it sends later still needs a token.
func (h *Handler) handshake(w http.ResponseWriter, r *http.Request, s *endpoint, inPath string) answer {
	origins := r.Header.Values("WebHook-Request-Origin")
	grid := len(origins) == 1 && strings.EqualFold(origins[0], eventGridOrigin)
	if !s.admitted(r, inPath, h.config.Now()) && (s.tokens == nil || !grid || inPath != "") {
		return h.unauthorized(w, r, s)
	}
	if !grid {
		return refuse(http.StatusForbidden, provenance.Forbidden, "only Event Grid may ask for this hook")
	}
	w.Header().Set("WebHook-Allowed-Origin", eventGridOrigin)
	w.Header().Set("WebHook-Allowed-Rate", "*")
	w.Header().Set("Allow", http.MethodPost)
	return answer{status: http.StatusOK}
}

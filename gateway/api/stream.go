package api

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// maxFollowers bounds those of one organisation who wait for events. There is no bound of all: few
// organisations could then keep the others out, and a channel has as many as its members vote for.
const maxFollowers = 16

// followers counts those who wait.
type followers struct {
	mu   sync.Mutex
	of   map[string]int
	over chan struct{} // closed when the server ends: nobody waits any more
}

func newFollowers() *followers { return &followers{of: map[string]int{}, over: make(chan struct{})} }

// end ends all waiting.
func (f *followers) end() { close(f.over) }

// take lets one more wait, until the function that it returns is called; Unavailable where
// too many do.
func (f *followers) take(msp string) (func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[msp] >= maxFollowers {
		return nil, withHint(provenance.Errorf(provenance.Unavailable, "%d of %s wait for events here", f.of[msp], msp), "ask again later, or without waiting")
	}
	f.of[msp]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.of[msp]--
	}, nil
}

// stream answers GET /v1/events/stream with server-sent events (WHATWG HTML, 9.2): one for
// each page of ListEvents, whose id is the token to go on after. Each is a call of
// its own, behind the same guard; a client that does not read is cut off by the deadline of
// a write, and nothing waits for it.
func (s *Server) stream(conn inProcess) http.Handler {
	client := waybillv1.NewWaybillClient(conn)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after := r.URL.Query().Get("after")
		if last := r.Header.Get("Last-Event-ID"); last != "" {
			after = last
		}
		out := http.NewResponseController(w)
		begun := false
		for {
			page, err := client.ListEvents(r.Context(), &waybillv1.ListEventsRequest{After: after, PageSize: streamPage, WaitSeconds: streamWait})
			if err != nil {
				if !begun {
					restError(r.Context(), nil, nil, w, r, err)
				}
				return // the client comes again, with its token
			}
			if err := out.SetWriteDeadline(time.Now().Add(writeDeadline)); err != nil {
				return
			}
			_ = out.SetReadDeadline(time.Time{}) // the request was read; what follows is ours
			if !begun {
				begun = true
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("Cache-Control", "no-store")
				w.WriteHeader(http.StatusOK)
			}
			if err := writeEvents(w, page); err != nil || out.Flush() != nil {
				return
			}
			after = page.GetNext()
			select {
			case <-r.Context().Done():
				return
			case <-s.followers.over:
				return
			default:
			}
		}
	})
}

const (
	streamPage = 100
	streamWait = 15 // seconds: a comment goes out as often, so that a line that died is seen
)

// writeEvents writes a page as one event, or a comment where nothing happened.
func writeEvents(w http.ResponseWriter, page *waybillv1.ListEventsResponse) error {
	if len(page.GetEntries()) == 0 {
		_, err := fmt.Fprintf(w, ": height %d\nid: %s\n\n", page.GetHeight(), page.GetNext())
		return err
	}
	b, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(page)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "id: %s\nevent: entries\ndata: %s\n\n", page.GetNext(), b)
	return err
}

package contract

import "sync"

// largeAtOnce is how many large envelopes are verified at the same time. Each takes up
// to 64 MiB and a tenth of a second.
const largeAtOnce = 2

// turns lets few run at once, and of them one of each organisation: who brings many
// waits behind its own, and others behind one of them at most. Each waits for as long
// as it takes; the peer, which has a deadline, answers for those who wait too long.
type turns struct {
	all   chan struct{}
	mutex sync.Mutex
	of    map[string]chan struct{} // by MSP id; there are as many as members
}

func newTurns(atOnce int) *turns {
	return &turns{all: make(chan struct{}, atOnce), of: map[string]chan struct{}{}}
}

// take waits for a turn of an organisation, and returns what ends it.
func (t *turns) take(msp string) (end func()) {
	t.mutex.Lock()
	own, ok := t.of[msp]
	if !ok {
		own = make(chan struct{}, 1)
		t.of[msp] = own
	}
	t.mutex.Unlock()
	own <- struct{}{}
	t.all <- struct{}{}
	return func() {
		<-t.all
		<-own
	}
}

package readmodel

import "time"

// Certificate is one that will end: of this gateway, or of those that the channel's configuration names.
type Certificate struct {
	Org       string // MSP id
	Use       string // gateway-api, gateway-identity, gateway-hooks, root, intermediate, orderer, orderer-tls
	Name      string // of its subject
	NotBefore time.Time
	NotAfter  time.Time
}

// warnBefore is how long before its end a certificate is warned of.
const warnBefore = 30 * 24 * time.Hour

// EndsSoon tells whether somebody should renew it: a month is left, or a third of its life where that is shorter.
func (c Certificate) EndsSoon(now time.Time) bool {
	return c.NotAfter.Sub(now) <= min(warnBefore, c.NotAfter.Sub(c.NotBefore)/3)
}

package sweep

import (
	"time"
)

// Config says how this organisation's registries are compared with the
// ledger. Of replicas that share a queue one needs a schedule; where more have
// one, what they find is still recorded once.
type Config struct {
	// Off leaves sweeps to people (waybill sweep). Default false: what nobody
	// notified is found within a day.
	Off bool `mapstructure:"off"`
	// Every is the time from the start of one sweep to the next of the schedule,
	// which sweeps the registries that are read back. Default 24h. The first one
	// of a new gateway begins after a twenty-fourth of it.
	Every time.Duration `mapstructure:"every"`
	// Rate bounds the requests to each registry, per second, where somebody asked
	// for the sweep. One of the schedule makes a quarter of them. Default 20.
	Rate int `mapstructure:"rate"`
	// Grace is how long a difference must last before it is believed: a
	// notification may be under way. Default 2m.
	Grace time.Duration `mapstructure:"grace"`
}

// WithDefaults fills in what is not set.
func (c Config) WithDefaults() Config {
	if c.Every == 0 {
		c.Every = 24 * time.Hour
	}
	if c.Rate == 0 {
		c.Rate = 20
	}
	if c.Grace == 0 {
		c.Grace = 2 * time.Minute
	}
	return c
}

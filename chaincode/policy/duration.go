package policy

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Duration is a positive duration of whole minutes, at most MaxDuration. Its
// JSON form is Go's, with days: "90m", "36h", "14d".
type Duration time.Duration

// MaxDuration bounds every duration of a policy.
const MaxDuration = Duration(3660 * 24 * time.Hour)

// ParseDuration reads "90m", "36h", "1h30m" or "14d". Rules about time are at
// minute grain: peers' clocks differ by seconds.
func ParseDuration(s string) (Duration, error) {
	invalid := provenance.Errorf(provenance.Invalid, "duration %.40q: want whole minutes, hours or days, as in 90m, 36h, 14d", s)
	var d time.Duration
	if n := len(s); n > 1 && n < 8 && s[n-1] == 'd' {
		days, err := strconv.ParseUint(s[:n-1], 10, 16)
		if err != nil {
			return 0, invalid
		}
		d = time.Duration(days) * 24 * time.Hour
	} else {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			return 0, invalid
		}
	}
	if d <= 0 || d%time.Minute != 0 || Duration(d) > MaxDuration {
		return 0, invalid
	}
	return Duration(d), nil
}

// String returns the canonical form: days, else hours, else minutes.
func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t%(24*time.Hour) == 0:
		return strconv.FormatInt(int64(t/(24*time.Hour)), 10) + "d"
	case t%time.Hour == 0:
		return strconv.FormatInt(int64(t/time.Hour), 10) + "h"
	}
	return strconv.FormatInt(int64(t/time.Minute), 10) + "m"
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := ParseDuration(s)
	*d = v
	return err
}

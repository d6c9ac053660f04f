package signer

import (
	"encoding/json"
	"net/url"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Services are where a keyless signature gets its certificate and what proves when it
// was made: a certificate authority with Fulcio's API, and transparency logs with
// Rekor's, timestamp authorities (RFC 3161), or both.
type Services struct {
	Authority string
	Logs      []Log
	Stamps    []string
}

// Log is a transparency log and the version of its API: 1 or 2.
type Log struct {
	URL     string
	Version int
}

// configured is what is read of a signing configuration (sigstore_trustroot.proto, SigningConfig).
type configured struct {
	MediaType string        `json:"mediaType"`
	CA        []service     `json:"caUrls"`
	Logs      []service     `json:"rekorTlogUrls"`
	LogRule   configuration `json:"rekorTlogConfig"`
	Stamps    []service     `json:"tsaUrls"`
	StampRule configuration `json:"tsaConfig"`
}

type service struct {
	URL      string `json:"url"`
	Version  int    `json:"majorApiVersion"`
	ValidFor struct {
		Start time.Time  `json:"start"`
		End   *time.Time `json:"end"`
	} `json:"validFor"`
	Operator string `json:"operator"`
}

type configuration struct {
	Selector string `json:"selector"`
	Count    int    `json:"count"`
}

// ReadServices reads a signing_config.json: of what is valid at that time, the newest
// with the highest version that is spoken here, as many as it asks for, one of an operator.
func ReadServices(text []byte, now time.Time) (Services, error) {
	var c configured
	if err := json.Unmarshal(text, &c); err != nil || c.MediaType != "application/vnd.dev.sigstore.signingconfig.v0.2+json" {
		return Services{}, provenance.Errorf(provenance.Invalid, "no signing configuration of version 0.2")
	}
	var s Services
	authorities, err := choose("certificate authority", c.CA, configuration{Selector: "ANY"}, now, 1)
	if err != nil {
		return s, err
	}
	if len(authorities) == 0 {
		return s, provenance.Errorf(provenance.Invalid, "the signing configuration has no certificate authority that is valid now")
	}
	s.Authority = authorities[0].URL
	logs, err := choose("transparency log", c.Logs, c.LogRule, now, 2)
	if err != nil {
		return s, err
	}
	for _, l := range logs {
		s.Logs = append(s.Logs, Log{l.URL, l.Version})
	}
	stamps, err := choose("timestamp authority", c.Stamps, c.StampRule, now, 1)
	for _, t := range stamps {
		s.Stamps = append(s.Stamps, t.URL)
	}
	return s, err
}

// choose returns none only where none is named.
func choose(what string, all []service, rule configuration, now time.Time, highest int) ([]service, error) {
	left := slices.Clone(all)
	left = slices.DeleteFunc(left, func(s service) bool {
		return s.Version < 1 || s.Version > highest || now.Before(s.ValidFor.Start) || s.ValidFor.End != nil && now.After(*s.ValidFor.End)
	})
	slices.SortStableFunc(left, func(a, b service) int {
		if a.Version != b.Version {
			return b.Version - a.Version
		}
		return b.ValidFor.Start.Compare(a.ValidFor.Start)
	})
	var chosen []service
	for _, s := range left {
		other := slices.ContainsFunc(chosen, func(c service) bool { return c.Operator == s.Operator })
		if !other && s.Version == left[0].Version {
			chosen = append(chosen, s)
		}
	}
	want := len(chosen)
	switch rule.Selector {
	case "EXACT":
		want = rule.Count
	case "ANY":
		want = min(1, len(all))
	}
	if want > len(chosen) || want == 0 && len(all) > 0 {
		return nil, provenance.Errorf(provenance.Invalid, "the signing configuration asks for %d of the kind %s, and %d are valid now", max(want, 1), what, len(chosen))
	}
	return chosen[:want], nil
}

// check tells whether the services suffice, and where they are.
func (s Services) check() error {
	if s.Authority == "" {
		return provenance.Errorf(provenance.Invalid, "signing without a key needs a certificate authority")
	}
	if len(s.Logs) == 0 && len(s.Stamps) == 0 {
		return provenance.Errorf(provenance.Invalid, "a certificate of minutes needs a transparency log or a timestamp authority that says when it was used")
	}
	addresses := append([]string{s.Authority}, s.Stamps...)
	for _, l := range s.Logs {
		if l.Version != 1 && l.Version != 2 {
			return provenance.Errorf(provenance.Invalid, "transparency log %s: version %d is not 1 or 2", l.URL, l.Version)
		}
		if l.Version == 2 && len(s.Stamps) == 0 {
			return provenance.Errorf(provenance.Invalid, "a transparency log of version 2 tells no time: name a timestamp authority as well")
		}
		addresses = append(addresses, l.URL)
	}
	for _, a := range addresses {
		if _, err := parseURL(a); err != nil {
			return err
		}
	}
	return nil
}

// at is the address of a path below a service.
func at(base, path string) (*url.URL, error) {
	u, err := parseURL(base)
	if err != nil {
		return nil, err
	}
	return u.JoinPath(path), nil
}

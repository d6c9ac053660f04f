package main

import (
	"regexp"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

var (
	fullID   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	idPrefix = regexp.MustCompile(`^[0-9a-f]{8,63}$`)
)

// requireFullID refuses anything but a whole id: what is signed is named in full.
func requireFullID(what, typed, list string) error {
	if !fullID.MatchString(typed) {
		return hint(usagef("%s %q: want its whole id, 64 hex digits; the first digits of one can be made to be those of another", what, typed), "it is printed by: %s", list)
	}
	return nil
}

func checkPrefix(what, typed string) error {
	if !idPrefix.MatchString(typed) {
		return usagef("%s %q: want its id, 64 hex digits, or the first 8 of them or more", what, typed)
	}
	return nil
}

// completeID finds the one id that begins as typed.
func completeID(what, typed string, ids []string) (string, error) {
	found := ""
	for _, id := range ids {
		switch {
		case !strings.HasPrefix(id, typed) || id == found:
		case found != "":
			return "", hint(usagef("%s %s: more than one id begins with that", what, typed), "give more of its digits: %s, %s", found, id)
		default:
			found = id
		}
	}
	if found == "" {
		return "", provenance.Errorf(provenance.NotFound, "no %s begins with %s", what, typed)
	}
	return found, nil
}

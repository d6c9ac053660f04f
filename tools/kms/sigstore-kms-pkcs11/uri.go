package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// uri is the part of a PKCS#11 URI that tells one key (RFC 7512, section 2.3).
type uri struct {
	token      string
	slot       *int
	object, id []byte
	module     string
	pinFile    string
}

// parseURI reads what stands after "pkcs11:". What it does not know it refuses: it could
// be what tells two keys apart.
func parseURI(text string) (uri, error) {
	var u uri
	path, query, _ := strings.Cut(text, "?")
	for _, attribute := range append(strings.Split(path, ";"), strings.Split(query, "&")...) {
		if attribute == "" {
			continue
		}
		name, encoded, ok := strings.Cut(attribute, "=")
		value, err := url.PathUnescape(encoded)
		if !ok || err != nil || value == "" {
			return u, fmt.Errorf("URI: %s is no attribute with a value", name)
		}
		switch name {
		case "token":
			u.token = value
		case "slot-id":
			n, err := strconv.Atoi(value)
			if err != nil {
				return u, errors.New("URI: slot-id is no number")
			}
			u.slot = &n
		case "object":
			u.object = []byte(value)
		case "id":
			u.id = []byte(value)
		case "type":
			if value != "private" {
				return u, errors.New("URI: type is not private")
			}
		case "module-path":
			u.module = value
		case "pin-source":
			u.pinFile = strings.TrimPrefix(strings.TrimPrefix(value, "file:"), "//")
		case "pin-value":
			return u, errors.New("URI: a PIN in an argument is read by everybody on the machine: name a file with pin-source, or set COSIGN_PKCS11_PIN")
		default:
			return u, fmt.Errorf("URI: the attribute %q is not known", name)
		}
	}
	if (u.token == "") == (u.slot == nil) {
		return u, errors.New("URI: want either token or slot-id")
	}
	if u.object == nil && u.id == nil {
		return u, errors.New("URI: want object, id or both")
	}
	return u, nil
}

func (u uri) pin(getenv func(string) string) (string, error) {
	if u.pinFile == "" {
		return getenv("COSIGN_PKCS11_PIN"), nil
	}
	text, err := os.ReadFile(u.pinFile)
	if err != nil {
		return "", fmt.Errorf("read the PIN: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

package org

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestGoOn: a gateway's configuration has the new channel once, however often it is written, and all that a person wrote.
func TestGoOn(t *testing.T) {
	header := strings.Repeat("07", 32)
	config := []byte("org: \"vendor\"\nchannel: \"waybill\"\nchaincode: \"waybill\"\n# after:\n#   channel: \"\"\nconnectors:\n  - name: main\n")
	for _, height := range []uint64{9, 12} {
		config = goOn(config, "anew", provenance.Predecessor{Channel: "waybill", Height: height, Header: header})
	}
	text := string(config)
	if strings.Count(text, "\nchannel:")+strings.Count(text[:8], "channel:") != 1 || !strings.HasPrefix(text, "channel: \"anew\"\nafter: {channel: \"waybill\", height: 12, header: \""+header+"\"}\n") ||
		strings.Count(text, "height:") != 1 || !strings.Contains(text, "connectors:\n  - name: main\n") || !strings.Contains(text, "\nchaincode: \"waybill\"\n") {
		t.Error(text)
	}
}

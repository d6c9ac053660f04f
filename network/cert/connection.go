package cert

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/waybill-dev/waybill/network/disk"
)

// dialChaincode writes the peer's certificate for its chaincode process to where the peer reads it: into the file that the
// builder hands out, one for each version, and into the copies of them that the peer kept of packages it has built.
func (f *Folder) dialChaincode() error {
	built, err := filepath.Glob(f.at("peer", "data", "externalbuilder", "builds", "*", "release", "chaincode", "server", "connection.json"))
	if err != nil {
		return err
	}
	given, err := filepath.Glob(f.at("builder", "connection*.json"))
	if err != nil {
		return err
	}
	text := map[string]string{}
	for key, file := range map[string]string{"client_cert": "client.crt", "client_key": "client.key", "root_cert": "ca.crt"} {
		raw, err := os.ReadFile(f.at("chaincode", file))
		if err != nil {
			return err
		}
		text[key] = string(raw)
	}
	for _, file := range append(built, given...) {
		raw, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var connection map[string]any
		if err := json.Unmarshal(raw, &connection); err != nil {
			return err
		}
		for key, value := range text {
			connection[key] = value
		}
		if raw, err = json.MarshalIndent(connection, "", "  "); err != nil {
			return err
		}
		if err := disk.Write(file, raw, 0o600); err != nil {
			return err
		}
	}
	return nil
}

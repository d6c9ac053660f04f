#!/bin/sh
# Regenerates waybillv1/ and openapi.json from proto/. Needs protoc 3.21 or
# later on PATH; the plugins are built here, at the versions tools/go.mod pins.
# The results are committed: a build never runs this.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go -C tools build -o "$bin" \
	google.golang.org/protobuf/cmd/protoc-gen-go \
	google.golang.org/grpc/cmd/protoc-gen-go-grpc \
	github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway \
	github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2
PATH="$bin:$PATH"
rules=proto/waybill/v1/http.yaml
module=github.com/waybill-dev/waybill/gateway/api
protoc -I proto \
	--go_out=. --go_opt=module=$module \
	--go-grpc_out=. --go-grpc_opt=module=$module \
	--grpc-gateway_out=. --grpc-gateway_opt=module=$module,grpc_api_configuration=$rules \
	--openapiv2_out="$bin" --openapiv2_opt=grpc_api_configuration=$rules,openapi_configuration=proto/waybill/v1/openapi.yaml,allow_merge=true,merge_file_name=waybill,disable_default_errors=true \
	waybill/v1/waybill.proto
mv "$bin/waybill.swagger.json" openapi.json

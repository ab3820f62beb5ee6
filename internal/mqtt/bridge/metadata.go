package bridge

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/go-kratos/kratos/v2/metadata"
	"github.com/go-kratos/kratos/v2/transport"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Prefixes of Kratos metadata: what travels one hop, and what travels on.
const (
	metadataPrefix = "x-md-"
	globalPrefix   = "x-md-global-"
)

// addMetadata adds what Kratos' metadata middleware would send: the client
// metadata of the context, and the global part of what came with the request
// that is being handled. Under a client transport of ours that middleware has
// done it already, and the headers are taken from there. Other keys stay in
// the process: a message is read by whoever subscribes.
func addMetadata(ctx context.Context, d *draft) {
	if tr, ok := transport.FromClientContext(ctx); ok && tr.Kind() == kind {
		h := tr.RequestHeader()
		for _, key := range slices.Sorted(slices.Values(h.Keys())) {
			d.addAmbient(key, h.Values(key))
		}
		return
	}
	if md, ok := metadata.FromClientContext(ctx); ok {
		addPrefixed(d, md, metadataPrefix)
	}
	if md, ok := metadata.FromServerContext(ctx); ok {
		addPrefixed(d, md, globalPrefix)
	}
}

// kind is that of the Kratos transport.
const kind = "mqtt"

// addPrefixed goes by the order of the names: where not all have room, it is
// not by chance which have.
func addPrefixed(d *draft, md metadata.Metadata, prefix string) {
	for _, key := range slices.Sorted(maps.Keys(md)) {
		if name := strings.ToLower(key); strings.HasPrefix(name, prefix) {
			d.addAmbient(name, md[key])
		}
	}
}

func (d *draft) addAmbient(key string, values []string) {
	for _, v := range values {
		d.ambient = append(d.ambient, ambient{UserProperty: client.UserProperty{Key: key, Value: v}})
	}
}

package mqtt

import (
	"context"

	"github.com/go-kratos/kratos/v2/metadata"
	"github.com/go-kratos/kratos/v2/transport"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// metadataOf returns what Kratos' metadata middleware would send. Under a client transport of
// this module the middleware has already run, and the headers are taken from there.
func metadataOf(ctx context.Context) []client.UserProperty {
	if tr, ok := transport.FromClientContext(ctx); ok && tr.Kind() == kind {
		return option.HeaderMetadata(tr.RequestHeader())
	}
	sent, _ := metadata.FromClientContext(ctx)
	handled, _ := metadata.FromServerContext(ctx)
	return option.Metadata(sent, handled)
}

// kind is that of the Kratos transport.
const kind = "mqtt"

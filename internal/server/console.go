package server

import (
	"net"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport/http"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/observe/console"
)

// Console is the web page of this process. Serves reports whether there is one.
type Console struct{ page *console.Console }

// NewConsole mounts the web page at / of the HTTP server, unless the configuration disables
// it. It demands the token of the operator, if there is one; without a token it is not
// mounted on a server that listens beyond loopback, which is logged.
func NewConsole(
	c *conf.Server, name ServiceName, version ServiceVersion, hs *http.Server, o *Operator, publisher event.ClientConn, telemetry *Telemetry, logger log.Logger,
) (*Console, error) {
	if hs == nil || c.GetConsole().GetDisabled() {
		return &Console{}, nil
	}
	page, err := console.New(console.Options{
		Recorder: telemetry.recorder, Service: string(name), Version: string(version), Token: o.token,
		Operator: o.acts, Publisher: publisher, Audit: audit(log.NewHelper(logger)), Probe: telemetry.health, Files: o.files,
	})
	if err != nil {
		return nil, err
	}
	listens, err := net.ResolveTCPAddr("tcp", c.Http.Addr)
	if err != nil {
		return nil, err
	}
	if err := page.Check(listens); err != nil {
		log.NewHelper(logger).Infof("the web console is not served beyond loopback without a token: set server.operator.token_file or %s", conf.EnvOperatorToken)
		return &Console{}, nil //nolint:nilerr // the service runs without it
	}
	hs.Handle("/", page)
	hs.HandlePrefix("/assets/", page)
	hs.HandlePrefix("/api/", page)
	hs.RegisterOnShutdown(page.Close)
	return &Console{page}, nil
}

// Serves reports whether the page is served.
func (c *Console) Serves() bool { return c.page != nil }

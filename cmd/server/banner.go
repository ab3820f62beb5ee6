package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/go-kratos/kratos/v2/transport/http"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/server"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// sampleReport is a valid report.
const sampleReport = `{"report_type":"event","app_id":"demo","app_key":"demo","event_name":"hello","content":"{\"from\":\"curl\"}"}`

// banner describes the addresses of the service and what to try first. It shows no
// credentials.
func banner(c *conf.Bootstrap, hs *http.Server, gs *grpc.Server, ms *mqttserver.Server, embedded *server.Embedded, connection *kratosmqttv1.Connection, console bool) string {
	var b strings.Builder
	row := func(name, value string) { fmt.Fprintf(&b, "  %-10s %s\n", name, value) }
	fmt.Fprintf(&b, "\n%s %s is running\n", ownName(), Version)
	web := ""
	if hs != nil {
		web = endpoint(hs)
		row("HTTP", web)
	}
	if console {
		row("console", web+"/")
	}
	if gs != nil {
		row("gRPC", endpoint(gs))
	}
	row("MQTT", brokers(connection, embedded))
	if database := c.GetData().GetDatabase(); database != nil {
		row("database", database.Name())
	}
	if web != "" {
		row("state", web+"/readyz "+web+"/metrics")
	}
	if web != "" && c.GetServer().GetOperator() != nil {
		row("operator", web+remote.Path+"<Method>")
	}
	if web != "" {
		fmt.Fprintf(&b, "\nPost a report:\n  curl -H 'Content-Type: application/json' -d '%s' %s/v1/reports\n", sampleReport, web)
	}
	if web != "" && ms != nil {
		fmt.Fprintf(&b, "See it stored:\n  curl %s/v1/reports\n", web)
	}
	b.WriteString("\n")
	return b.String()
}

func endpoint(srv server.Server) string {
	u, err := srv.Endpoint()
	if err != nil {
		return err.Error()
	}
	return u.String()
}

func brokers(connection *kratosmqttv1.Connection, embedded *server.Embedded) string {
	if embedded != nil {
		kept := "keeps nothing across restarts"
		if embedded.Path() != "" {
			kept = "keeps sessions in " + embedded.Path()
		}
		return embedded.URL() + " (in-process broker, for development only: it accepts every client on this machine and " + kept + ")"
	}
	var addresses []string
	for _, address := range connection.Addresses {
		addresses = append(addresses, withoutUser(address))
	}
	return strings.Join(addresses, ", ")
}

// withoutUser returns the scheme and host of an address; the scheme is optional.
func withoutUser(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host
	}
	return address[strings.LastIndexByte(address, '@')+1:]
}

// Package observe reads what the MQTT packages report about generated services and all
// others: it makes OpenTelemetry metrics of the hooks and of Health, and answers health probes.
//
//	metrics, err := observe.NewMetrics(provider)
//	if err != nil {
//		return nil, err
//	}
//	srv := mqttserver.Open(c, nil, logger, mqttserver.WithBrokerOptions(mqttbroker.WithHooks(metrics)))
//	reportv1.RegisterReportEventsMQTTServer(srv, reports)
//	metrics.Watch(srv)
//
// It changes nothing, and uses only OpenTelemetry's API: the SDK and its exporters are chosen
// by the service.
package observe

package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/check"
)

func (s *session) checkCommand() *cobra.Command {
	var (
		outboxAge, messageAge, certificate ages
		limits                             check.Limits
		output                             string
		timeout                            time.Duration
	)
	c := &cobra.Command{
		Use: "check", GroupID: groupSee,
		Short: "Judge a running service, as a plugin of a monitoring system",
		Long: `Judges a running service by its readiness, its metrics and its dead letters, and ends with the code
of a monitoring plugin: 0 ok, 1 warning, 2 critical, 3 unknown.

A service that does not answer, or is not ready, is critical; a degraded one is a warning. A limit of
0 is never reached; a check whose limits are both 0 is not made. What a service does not have, such
as an outbox or a certificate, is not checked.`,
		Example: `kratos-mqtt check --operator http://127.0.0.1:8000
kratos-mqtt check --letters-warning 10 --letters-critical 100 --output prometheus`,
		RunE: func(c *cobra.Command, args []string) error {
			limits.OutboxAge, limits.MessageAge, limits.CertificateDays = outboxAge.seconds(), messageAge.seconds(), certificate.days()
			if err := s.check(c, args, limits, output, timeout); err != nil {
				return unknown(c, err)
			}
			return nil
		},
	}
	c.SetFlagErrorFunc(unknown)
	f := c.Flags()
	f.StringVar(&output, "output", "nagios", "format: nagios, json or prometheus (for the textfile collector of the node exporter)")
	f.DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for the service in all")
	f.DurationVar(&limits.Sample, "sample", 0, "how long to watch the age of handled messages; 0 means not at all")
	counts(f, "outbox", "messages in the outbox", &limits.Outbox, 1000, 100_000)
	counts(f, "letters", "dead letters", &limits.Letters, 1, 1000)
	outboxAge.flags(f, "outbox-age", "age of the oldest message in the outbox", time.Minute, 10*time.Minute)
	messageAge.flags(f, "message-age", "age of handled messages, with --sample", time.Minute, 10*time.Minute)
	certificate.flags(f, "certificate", "time until a certificate ends", 14*24*time.Hour, 3*24*time.Hour)
	s.completeFlag(c, "output", func(context.Context) []string { return []string{"nagios", "json", "prometheus"} })
	return c
}

func (s *session) check(c *cobra.Command, args []string, limits check.Limits, output string, timeout time.Duration) error {
	if len(args) > 0 {
		return usageError(c, "want no arguments")
	}
	if s.json {
		output = "json"
	}
	format := map[string]func(*check.Report) (string, error){
		"nagios":     func(r *check.Report) (string, error) { return r.Nagios(), nil },
		"json":       (*check.Report).JSON,
		"prometheus": func(r *check.Report) (string, error) { return r.Prometheus(), nil },
	}[output]
	if format == nil {
		return usageError(c, "--output is %q, want nagios, json or prometheus", output)
	}
	at, err := s.service()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), timeout+limits.Sample)
	defer cancel()
	report := check.Run(ctx, at, limits)
	if err := c.Context().Err(); err != nil { // what it could not ask is not critical
		return err
	}
	for i := range report.Results {
		report.Results[i].Text = printable(report.Results[i].Text)
	}
	text, err := format(&report)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(s.Out, text); err != nil {
		return err
	}
	if report.State != check.OK {
		return &ExitError{Code: int(report.State)}
	}
	return nil
}

// unknown has an error end the program with the code that means that nothing was checked.
func unknown(_ *cobra.Command, err error) error {
	if exit := new(ExitError); errors.As(err, &exit) && exit.Err == nil {
		return err
	}
	return &ExitError{Code: int(check.Unknown), Err: err}
}

// counts adds the two flags of a limit of a number.
func counts(f *pflag.FlagSet, name, what string, l *check.Limit, warning, critical float64) {
	f.Float64Var(&l.Warning, name+"-warning", warning, what+" from which on it is a warning")
	f.Float64Var(&l.Critical, name+"-critical", critical, what+" from which on it is critical")
}

// ages are the two flags of a limit of a time.
type ages struct{ warning, critical time.Duration }

func (a *ages) flags(f *pflag.FlagSet, name, what string, warning, critical time.Duration) {
	f.DurationVar(&a.warning, name+"-warning", warning, what+" at which it is a warning")
	f.DurationVar(&a.critical, name+"-critical", critical, what+" at which it is critical")
}

func (a *ages) seconds() check.Limit {
	return check.Limit{Warning: a.warning.Seconds(), Critical: a.critical.Seconds()}
}

func (a *ages) days() check.Limit {
	return check.Limit{Warning: a.warning.Hours() / 24, Critical: a.critical.Hours() / 24}
}

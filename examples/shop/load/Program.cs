using System.Globalization;
using System.Runtime.InteropServices;
using Shop.Load;

// load: calls a URL at a constant rate and says how that went. Exit code 0 when every request succeeded, 1 when not, 2 for bad arguments.
// usage: load URL [--rps N] [--seconds N] [--in-flight N] [--tally REGEX] [--json]
// Latency counts from the time a request was due, not from when it could be sent: a stalled server cannot hide behind waiting clients.
try
{
    var options = Arguments.Parse(args);
    using var stop = new CancellationTokenSource();
    Action<PosixSignalContext> end = signal =>
    {
        signal.Cancel = true;
        stop.Cancel();
    };
    using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, end);
    using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, end);
    var result = await new Generator(options).RunAsync(stop.Token);
    Console.WriteLine(options.Json ? result.ToJson() : result.ToString());
    return result.Failures == 0 ? 0 : 1;
}
catch (Exception e) when (e is FormatException or ArgumentException)
{
    await Console.Error.WriteLineAsync(string.Create(CultureInfo.InvariantCulture,
        $"load: {e.Message}\nusage: load URL [--rps N] [--seconds N] [--in-flight N] [--tally REGEX] [--json]"));
    return 2;
}

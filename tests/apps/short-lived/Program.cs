using Mesh.Api.Logging;
using Mesh.ControlPlane;

// mesh-control-plane as it is, but that it takes --certificate-lifetime from a second on.
return await new CommandLine(leastCertificateLifetime: TimeSpan.FromSeconds(1)).InvokeAsync(args, Console.Error, async options =>
{
    using var stop = StopSignals.Listen();
    await using var program = await ControlPlaneProgram.StartAsync(options, TimeProvider.System, Log.To(Console.Error, options.LogLevel, TimeProvider.System));
    PortsFile.Write(options.PortsFile, program.Addresses);
    return await program.RunUntilAsync(stop.Token) ? 0 : 1;
});

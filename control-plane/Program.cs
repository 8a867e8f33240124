using Mesh.Api.Logging;
using Mesh.ControlPlane;
using Mesh.ControlPlane.Identity.Authority;

// Nothing on the way to a port is read from the environment but CONSUL_HTTP_TOKEN: see CommandLine for all there is to set.
return await new CommandLine(Lifetimes.LeastLeaf).InvokeAsync(args, Console.Error, async options =>
{
    var log = Log.To(Console.Error, options.LogLevel, TimeProvider.System);
    using var stop = StopSignals.Listen();
    try
    {
        await using var program = await ControlPlaneProgram.StartAsync(options, TimeProvider.System, log);
        PortsFile.Write(options.PortsFile, program.Addresses);
        program.LogBanner();
        return await program.RunUntilAsync(stop.Token) ? 0 : 1;
    }
    catch (StartException e)
    {
        log.Error(e.Message);
        return 1;
    }
});

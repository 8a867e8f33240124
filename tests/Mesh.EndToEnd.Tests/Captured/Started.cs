using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>Servers that several tests of a machine share: started by the first that needs them, ended with the machine. Thread safe.</summary>
internal static class Started
{
    private static readonly ConditionalWeakTable<NetworkHost, ConcurrentDictionary<(string, int), Lazy<Task<ChildProcess>>>> ByHost = [];

    /// <summary>The server of that name on that port.</summary>
    public static Task<ChildProcess> OnceAsync(NetworkHost host, string name, int port, Func<Task<ChildProcess>> start) =>
        ByHost.GetOrCreateValue(host).GetOrAdd((name, port), _ => new Lazy<Task<ChildProcess>>(start)).Value;
}

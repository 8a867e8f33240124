using Mesh.ControlPlane.Compilation;

namespace Mesh.ControlPlane.Xds;

/// <summary>
/// Decides whether one node has to wait for a configuration: services in it would look empty, or not exist, only because the registry has not
/// been read for them. For one stream; its writing loop calls it.
/// </summary>
internal sealed class Withholding(TimeProvider time)
{
    /// <summary>Sources give up earlier, service by service; no node waits longer, whatever they do.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(15);

    private long? since;
    private volatile bool returning;

    /// <summary>
    /// The node has a configuration from before. As long as the registry was not heard at all it stays with that, however long: a world without
    /// the registry would take its endpoints away. Nodes that have nothing get what there is.
    /// </summary>
    public void IsReturning() => returning = true;

    /// <summary>How long the configuration is held back at most; null when it may go out.</summary>
    /// <param name="world">The configuration.</param>
    /// <param name="node">The node.</param>
    /// <param name="listeners">Listeners it asked for by name.</param>
    /// <param name="isFirst">It was told nothing on this stream.</param>
    public TimeSpan? Left(CompiledWorld world, NodeDescription node, IEnumerable<string> listeners, bool isFirst)
    {
        if (world.World.Unread.Everything) return returning ? Timeout.InfiniteTimeSpan : null;
        if (world.IsKnown(node, listeners, isFirst))
        {
            since = null;
            return null;
        }

        since ??= time.GetTimestamp();
        var left = Longest - time.GetElapsedTime(since.Value);
        return left > TimeSpan.Zero ? left : null;
    }
}

namespace Mesh.Benchmarks;

/// <summary>Who runs on which core (taskset lists): what is measured has one alone.</summary>
internal static class Cores
{
    public const string Proxy = "0";

    public static string Load { get; } = Environment.ProcessorCount > 2 ? "1-2" : "1";

    public static string Backend { get; } = Environment.ProcessorCount > 3 ? "3" : "1";
}

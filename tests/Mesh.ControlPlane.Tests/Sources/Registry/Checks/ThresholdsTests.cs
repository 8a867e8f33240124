using Mesh.ControlPlane.Sources.Registry.Checks;

namespace Mesh.ControlPlane.Tests.Sources.Registry.Checks;

public sealed class ThresholdsTests
{
    [Theory]
    [InlineData(0, 0, 0, "c", "pcp", "passing critical passing")]
    [InlineData(1, 0, 0, "c", "pppc", "critical passing passing critical")]
    [InlineData(0, 2, 2, "p", "cccp", "passing passing critical passing")]
    [InlineData(0, 1, 2, "p", "ccc", "passing warning critical")]
    [InlineData(0, 1, 1, "p", "cpcc", "passing passing passing critical")]
    [InlineData(0, 0, 0, "p", "wc", "warning critical")]
    public void A_state_holds_until_enough_speaks_against_it(int success, int warning, int critical, string start, string results, string states)
    {
        var check = new CheckDefinition
        {
            CheckId = "c",
            Kind = CheckKind.Tcp,
            Period = TimeSpan.FromSeconds(1),
            SuccessBeforePassing = success,
            FailuresBeforeWarning = warning,
            FailuresBeforeCritical = critical,
        };
        var thresholds = new Thresholds(check, Status(start[0]));
        Assert.Equal(states.Split(' '), results.Select(r => thresholds.Add(Status(r))));
    }

    private static string Status(char letter) => letter switch { 'p' => "passing", 'w' => "warning", _ => "critical" };
}
